// The viewer of one image: its result, its heatmap and their controls.

import { byId, el, shown } from "./dom.js";
import { labelClass, scale } from "./list.js";
import { heatmap, problemOf } from "./service.js";
import { sixteenBitCanvas } from "./sixteen.js";
import { Stage } from "./stage.js";
import { problemText, say, warningText } from "./texts.js";

export class Viewer {
  #opened = new AbortController();
  #urls = [];
  #heatRequested = false;
  item = null;

  constructor() {
    this.stage = new Stage();
    byId("heat-on").addEventListener("change", () => this.#drawHeat());
    byId("opacity").addEventListener("input", () => this.#drawHeat());
    for (const tool of ["window", "pan"]) {
      byId(`tool-${tool}`).addEventListener("change", () => {
        this.stage.tool = tool;
      });
    }
    byId("zoom-in").addEventListener("click", () => this.stage.zoom(1.25));
    byId("zoom-out").addEventListener("click", () => this.stage.zoom(0.8));
    byId("reset").addEventListener("click", () => this.stage.reset());
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
    this.item = null;
    this.stage.clear();
    byId("heat").removeAttribute("src");
    byId("heat").hidden = true;
    byId("heat-state").textContent = "";
    document.body.classList.remove("viewing");
    byId("viewer-empty").hidden = false;
    byId("viewer-open").hidden = true;
  }

  /** Redraw after a change of the item. */
  update() {
    const { item } = this;
    byId("viewer-name").textContent = item.name;
    byId("facts").replaceChildren(...facts(item));
    if (!item.verdict || this.#heatRequested) return;
    this.#heatRequested = true;
    this.#showHeatmap(item, this.#opened);
  }

  toggleHeat() {
    byId("heat-on").click();
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

  async #showPicture(item, opened) {
    try {
      const canvas = await sixteenBitCanvas(item.file).catch(() => null);
      const picture = canvas ?? el("img", { alt: "", draggable: false, src: this.#url(item.file, opened) });
      if (!canvas) await picture.decode();
      if (!opened.signal.aborted) this.stage.show(picture);
    } catch {
      if (!opened.signal.aborted) byId("readout").textContent = say("noPicture");
    }
  }

  async #showHeatmap(item, opened) {
    const state = byId("heat-state");
    state.textContent = say("heatmapLoading");
    try {
      item.heatmap ??= await heatmap(item.file, opened.signal);
      if (opened.signal.aborted) return;
      const heat = byId("heat");
      heat.src = this.#url(item.heatmap, opened);
      await heat.decode();
      if (opened.signal.aborted) return;
      state.textContent = isDark(heat) ? say("heatmapDark") : "";
      this.#drawHeat();
    } catch (error) {
      const problem = problemOf(error, opened.signal);
      if (problem) state.textContent = say("heatmapFailed", { why: problemText(problem) });
    }
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

function facts(item) {
  const { verdict, problem } = item;
  if (problem) return [el("p", { className: "error" }, `${say("failed")}: ${problemText(problem)}`)];
  if (!verdict) return [el("p", {}, say(item.state === "analysing" ? "analysing" : "waiting"))];
  const warnings = verdict.warnings.map((warning) => el("li", {}, warningText(warning)));
  return [
    warnings.length ? el("ul", { className: "warnings" }, ...warnings) : null,
    el("p", { className: labelClass(verdict) }, say(`labelMeanings.${verdict.label}`),
      verdict.unreliable ? el("small", {}, ` ${say("unreliable")}`) : null),
    scale(verdict),
    table([
      ["probability", shown(verdict.probability)],
      ["threshold", `${verdict.threshold.toFixed(4)} (${verdict.point})`],
      verdict.guardScore === null ? null
        : ["guardScore", say("guardMeaning", { score: verdict.guardScore.toFixed(2) })],
      ["modelName", `${verdict.model.name} ${verdict.model.version}`],
      ["requestId", verdict.requestId],
    ]),
  ].filter(Boolean);
}

function table(rows) {
  return el("dl", {}, ...rows.filter(Boolean).flatMap(([name, value]) => [el("dt", {}, say(name)), el("dd", {}, value)]));
}
