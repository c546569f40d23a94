// What the service states about itself: the served model, its card, and what is recorded of an analysis.

import { byId, el } from "../common/dom.js";
import { preference } from "../common/preferences.js";
import { decimal, pointName, populationName, say } from "../common/texts.js";
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

  /** The prevalence that the user entered, 0 to 1; null if none was. (That of a site in its bundle is of the images that
   * were collected there to choose thresholds, where more patients are ill than in the wards.) */
  get prevalence() {
    const entered = Number(preference("prevalence"));
    return entered > 0 && entered < 1 ? entered : null;
  }

  /** What the user chose: the operating point, and the population of the patients; empty if none was chosen, so that
   * an age in the file decides. */
  get choice() {
    return { point: byId("point").value, population: byId("population").value };
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
    byId("model").title = byId("model").textContent; // it may be cut off
    const unstated = say(this.#cardMissing ? "cardMissing" : "usesNotStated");
    byId("meant-for").textContent = uses.meantFor ? say("meantFor", { uses: uses.meantFor }) : unstated;
    byId("not-meant-for").textContent = uses.notMeantFor ? say("notMeantFor", { uses: uses.notMeantFor }) : "";
    this.#drawPopulations();
    this.#drawPoints();
  }

  /** Where the service has a population by itself, none of them is to be asked for: by the name `unknown`. */
  #drawPopulations() {
    const { populations, population } = this.model;
    const select = byId("population");
    const chosen = select.value || population || "";
    const names = Object.keys(populations ?? {});
    select.replaceChildren(...[population ? "unknown" : "", ...names].map((value) => (
      el("option", { value }, names.includes(value) ? populationName(value) : say("allPatients"))
    )));
    select.value = chosen;
    if (select.selectedIndex < 0) select.selectedIndex = 0;
    select.hidden = names.length === 0;
  }

  #drawPoints() {
    const { model: served } = this;
    const select = byId("point");
    const chosen = select.value || served.operating_point;
    const { population: wanted } = this.choice;
    const population = served.populations?.[wanted] ? wanted : null; // not "unknown"
    const points = Object.entries(pointsOf(served, population)).map(([name, { threshold }]) => {
      const { sensitivity, specificity } = figuresOf(served, this.card, name, population);
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
