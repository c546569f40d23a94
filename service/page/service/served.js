// What the service says of itself: the served model, its card, and what is kept of an analysis.

import { byId, el } from "../common/dom.js";
import { preference } from "../common/preferences.js";
import { decimal, pointName, say } from "../common/texts.js";
import { askForKey } from "../dialogs/key_form.js";
import { figuresOf, pointsOf, usesOf } from "../images/points.js";
import { card, model, requiresKey, sleep, version } from "./client.js";

const PAUSE_MS = 3000;

export class Served {
  model = null;
  card = "";
  uses = { meantFor: null, notMeantFor: null };
  #cardMissing = false;
  #audit = null;

  /** The prevalence that the user entered, 0 to 1, else the site's own; null if neither is known. */
  get prevalence() {
    const entered = Number(preference("prevalence"));
    if (entered > 0 && entered < 1) return entered;
    return this.model?.site?.prevalence ?? null;
  }

  /** Ask until the service answers, and for a key if it requires one. */
  async load() {
    for (let loaded = null; !loaded; this.model = loaded ?? this.model) {
      try {
        loaded = await model();
      } catch (error) {
        if (requiresKey(error.problem)) {
          await askForKey(error.problem);
          continue;
        }
        byId("banner").textContent = say("modelUnreachable");
        await sleep(PAUSE_MS);
      }
    }
    byId("banner").textContent = "";
    this.card = await card().catch(() => null) ?? "";
    this.#cardMissing = !this.card;
    this.uses = usesOf(this.card);
    const about = await version().catch(() => null);
    this.#audit = about?.audit ?? null;
    this.model.service = about ? `${about.name} ${about.version}` : "";
    this.draw();
  }

  /** Write it where the page shows it, in the language in use. */
  draw() {
    const storing = this.#audit === "off" ? "storesNothing" : this.#audit ? "storesRecord" : "storesNoImage";
    byId("storing").textContent = say(storing);
    byId("privacy-server").textContent = say(storing);
    if (!this.model) return;
    const { model: served, uses } = this;
    byId("model").textContent = say(served.site ? "modelOfSite" : "model", { ...served, site: served.site?.name });
    const unstated = say(this.#cardMissing ? "cardMissing" : "usesNotStated");
    byId("meant-for").textContent = uses.meantFor ? say("meantFor", { uses: uses.meantFor }) : unstated;
    byId("not-meant-for").textContent = uses.notMeantFor ? say("notMeantFor", { uses: uses.notMeantFor }) : "";
    this.#drawPoints();
  }

  #drawPoints() {
    const { model: served } = this;
    const select = byId("point");
    const chosen = select.value || served.operating_point;
    const points = Object.entries(pointsOf(served, served.population)).map(([name, { threshold }]) => {
      const { sensitivity, specificity } = figuresOf(served, this.card, name, served.population);
      return el("option", { value: name }, say("pointOption", {
        name: pointName(name),
        threshold: decimal(threshold, 2),
        sensitivity: decimal(sensitivity.value, 2),
        specificity: decimal(specificity.value, 2),
      }));
    });
    select.replaceChildren(...points);
    select.value = chosen;
    if (!select.value) select.value = served.operating_point;
  }
}
