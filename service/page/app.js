// Starts the page: its texts first, then the session, and last what the user can press.

import { startControls } from "./controls.js";
import { byId, definitions, el } from "./common/dom.js";
import { changeLanguage, currentLanguage, LANGUAGES, list, loadTexts, say, writeTexts } from "./common/texts.js";
import { startTheme } from "./common/theme.js";
import { startKeyForm } from "./dialogs/key_form.js";
import { sleep } from "./service/client.js";
import { Session } from "./session.js";

const PAUSE_MS = 1000; // between attempts to load the texts

function write() {
  writeTexts(document);
  document.title = say("title");
  byId("keys").replaceChildren(...definitions(list("keys")).childNodes);
}

function startLanguages(session) {
  const select = byId("language");
  select.replaceChildren(...Object.entries(LANGUAGES).map(([value, name]) => el("option", { value, lang: value }, name)));
  select.value = currentLanguage();
  select.addEventListener("change", async () => {
    await changeLanguage(select.value).catch(() => {});
    select.value = currentLanguage();
    write();
    session.redraw();
  });
}

while (!(await loadTexts().then(() => true, () => false))) await sleep(PAUSE_MS);
write();
startTheme();
startKeyForm();
const session = new Session();
startLanguages(session);
startControls(session);
session.start();
