// Starts the page: first what takes files, then the texts, the session, and last what else the user can press.

import { startControls } from "./controls.js";
import { byId, definitions, el } from "./common/dom.js";
import { changeLanguage, currentLanguage, LANGUAGES, list, loadTexts, say, writeTexts } from "./common/texts.js";
import { startTheme } from "./common/theme.js";
import { startKeyForm } from "./dialogs/key_form.js";
import { startFiles } from "./images/files.js";
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

async function start() {
  while (!(await loadTexts().then(() => true, () => false))) await sleep(PAUSE_MS);
  write();
  startTheme();
  startKeyForm();
  const session = new Session();
  startLanguages(session);
  startControls(session);
  session.start();
  return session;
}

// The texts may be late: what is chosen or dropped meanwhile is kept, and not opened by the browser instead of the page.
const started = start();
startFiles(async (found) => (await started).add(found));
