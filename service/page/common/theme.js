// Light or dark: as the system says, or as the user chose.

import { byId } from "./dom.js";
import { preference, remember } from "./preferences.js";

const system = matchMedia("(prefers-color-scheme: light)");

/** Use the remembered theme, and follow the choice in #theme. */
export function startTheme() {
  const select = byId("theme");
  select.value = preference("theme") ?? "system";
  if (!select.value) select.value = "system";
  select.addEventListener("change", () => {
    remember("theme", select.value === "system" ? "" : select.value);
    apply(select.value);
  });
  system.addEventListener("change", () => apply(select.value));
  apply(select.value);
}

function apply(choice) {
  const light = choice === "system" ? system.matches : choice === "light";
  document.documentElement.dataset.theme = light ? "light" : "dark";
}
