// The viewer of one image: its result, its heatmap and their controls.

import { byId, el, nameOf } from "../common/dom.js";
import { problemText, say } from "../common/texts.js";
import { heatmap, problemOf } from "../service/client.js";
import { resultOf, termList } from "./facts.js";
import { loadPicture } from "./picture.js";
import { Stage } from "./stage.js";

const TOOLS = ["window", "pan", "ruler"];

export class Viewer {
  #opened = new AbortController();
  #urls = [];
  #heatState = null;
  #heatRequested = false;
  item = null;

  /** `served` holds the served model; see facts.js. */
  constructor(served) {
    this.served = served;
    this.stage = new Stage();
    byId("heat-on").addEventListener("change", () => this.#drawHeat());
    byId("opacity").addEventListener("input", () => this.#drawHeat());
    byId("split").addEventListener("change", () => this.stage.split(byId("split").checked));
    for (const tool of TOOLS) {
      byId(`tool-${tool}`).addEventListener("change", () => {
        this.stage.tool = tool;
      });
    }
    const clicks = {
      "zoom-in": () => this.stage.zoom(1.25), "zoom-out": () => this.stage.zoom(0.8),
      "actual-size": () => this.stage.actualSize(), invert: () => this.stage.invert(),
      rotate: () => this.stage.rotate(), flip: () => this.stage.flip(), reset: () => this.stage.reset(),
    };
    for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
  }

  /** Open an image. Its heatmap is requested only now, or once the image has been analysed. */
  open(item) {
    this.close();
    this.item = item;
    document.body.classList.add("viewing");
    byId("viewer-empty").hidden = true;
    byId("viewer-open").hidden = false;
    this.update();
    this.#showPicture(item, this.#opened);
  }

  /** Close the image and release its resources. */
  close() {
    this.#opened.abort();
    this.#opened = new AbortController();
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    this.#heatRequested = false;
    this.#heatState = null;
    this.item = null;
    this.stage.clear();
    byId("heat").removeAttribute("src");
    byId("heat").hidden = true;
    byId("heat-state").textContent = "";
    document.body.classList.remove("viewing");
    byId("viewer-empty").hidden = false;
    byId("viewer-open").hidden = true;
  }

  /** Redraw after a change of the item, the language or the served model. */
  update() {
    const { item } = this;
    byId("viewer-name").replaceChildren(nameOf(item.name));
    byId("facts").replaceChildren(...resultOf(item), termList(item, this.served));
    byId("prevalence-form").hidden = !item.verdict;
    this.#drawHeatState();
    if (!item.verdict || this.#heatRequested) return;
    this.#heatRequested = true;
    this.#showHeatmap(item, this.#opened);
  }

  toggleHeat() {
    byId("heat-on").click();
  }

  toggleSplit() {
    byId("split").click();
  }

  fade(step) {
    const slider = byId("opacity");
    slider.value = Number(slider.value) + step;
    this.#drawHeat();
  }

  #drawHeat() {
    const heat = byId("heat");
    heat.hidden = !byId("heat-on").checked || !heat.src;
    heat.style.opacity = byId("opacity").value / 100;
  }

  #drawHeatState() {
    byId("heat-state").textContent = this.#heatState ? this.#heatState() : "";
  }

  async #showPicture(item, opened) {
    try {
      const { element, facts } = await loadPicture(item.file, opened.signal, (blob) => this.#url(blob, opened));
      if (opened.signal.aborted) return;
      item.facts = facts;
      this.stage.show(element, facts?.size, facts?.spacing);
      if (facts) this.update();
    } catch {
      if (!opened.signal.aborted) byId("readout").textContent = say("noPicture");
    }
  }

  async #showHeatmap(item, opened) {
    this.#setHeatState(() => say("heatmapLoading"));
    try {
      item.heatmap ??= await heatmap(item.file, opened.signal);
      if (opened.signal.aborted) return;
      const heat = byId("heat");
      heat.src = this.#url(item.heatmap, opened);
      await heat.decode();
      if (opened.signal.aborted) return;
      this.#setHeatState(isDark(heat) ? () => say("heatmapDark") : null);
      this.#drawHeat();
    } catch (error) {
      const problem = problemOf(error, opened.signal);
      if (problem) this.#setHeatState(() => say("heatmapFailed", { why: problemText(problem) }));
    }
  }

  #setHeatState(text) {
    this.#heatState = text;
    this.#drawHeatState();
  }

  #url(blob, opened) {
    const url = URL.createObjectURL(blob);
    if (opened.signal.aborted) URL.revokeObjectURL(url);
    else this.#urls.push(url);
    return url;
  }
}

/** Whether the heatmap is almost empty: the physician should see that this is a result, not a failure. */
function isDark(heat) {
  const canvas = el("canvas", { width: heat.naturalWidth, height: heat.naturalHeight });
  const context = canvas.getContext("2d");
  context.drawImage(heat, 0, 0);
  return !context.getImageData(0, 0, canvas.width, canvas.height).data.some((value, at) => at % 4 === 3 && value > 50);
}
