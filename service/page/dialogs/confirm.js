// Asks before something is lost.

import { byId } from "../common/dom.js";
import { say } from "../common/texts.js";

/** Ask a question; resolves to whether the user agrees. */
export function confirmed(question, agreement) {
  const dialog = byId("confirm");
  byId("confirm-question").textContent = say(question);
  byId("confirm-yes").textContent = say(agreement);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
