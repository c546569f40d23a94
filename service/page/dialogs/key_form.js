// Asks for an access key.

import { byId } from "../common/dom.js";
import { say } from "../common/texts.js";
import { useKey } from "../service/client.js";

let submitted = null;

/** Ask the user for a key, and wait until it is submitted. Concurrent callers share one form. */
export async function askForKey(problem) {
  const form = byId("key-form");
  if (!submitted) {
    const reason = problem.status === 403 ? "keyForbidden" : byId("key").value ? "keyWrong" : "keyNeeded";
    byId("key-why").textContent = say(reason);
    form.hidden = false;
    byId("key").focus();
    submitted = new Promise((resolve) => form.addEventListener("submit", resolve, { once: true }));
  }
  await submitted;
  submitted = null;
  form.hidden = true;
}

/** Use the key that is submitted. */
export function startKeyForm() {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value.trim());
  });
}
