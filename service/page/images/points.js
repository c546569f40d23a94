// The operating points of the served model, what was measured of them, and what that means at a site.

/** The operating points of a population; without one, those chosen for all populations together. */
export const pointsOf = (model, population) => (population ? model.populations[population] : model).operating_points;

/** Sensitivity and specificity of an operating point, each {value, low, high}, and of which images they are: `images` of
 * `patients`, and of which `site` if the operating point is a site's own; or `where`, in the model's own words.
 *
 * Those of the model card, which were measured on patients that chose nothing; for what is not in its tables, those of
 * the manifest, which are of the patients that chose the threshold. */
export function figuresOf(model, card, name, population) {
  const point = pointsOf(model, population)[name];
  const stated = { sensitivity: point.sensitivity, specificity: point.specificity };
  if (model.site && population === model.site.population) {
    return { ...stated, ...sizeOf(model.site.measured_on), site: model.site.name };
  }
  const held = population ? ofPopulation(card, population, point.threshold) : ofAll(model, card, name, point.threshold);
  return held ?? { ...stated, where: point.chosen_on };
}

/** Predictive values at a prevalence of more than 0 and less than 1, each {value, low, high}, by Bayes' theorem:
 * PPV = se p / (se p + (1 - sp) (1 - p)), NPV = sp (1 - p) / (sp (1 - p) + (1 - se) p).
 * `low` and `high` join the ends of the intervals of sensitivity and specificity, as the model card does. */
export function predictiveValues({ sensitivity, specificity }, prevalence) {
  const value = (own, ownShare, other, otherShare) => {
    const right = own * ownShare;
    const wrong = (1 - other) * otherShare;
    return right + wrong ? right / (right + wrong) : 0;
  };
  const each = (own, ownShare, other, otherShare) => Object.fromEntries(["value", "low", "high"]
    .map((end) => [end, value(own[end], ownShare, other[end], otherShare)]));
  return {
    ppv: each(sensitivity, prevalence, specificity, 1 - prevalence),
    npv: each(specificity, 1 - prevalence, sensitivity, prevalence),
  };
}

/** The intended uses of a model, from the section "Uses and directions" of its card; null if they are not stated. */
export function usesOf(card) {
  const bullet = (name) => {
    const found = section(card, "## Uses and directions").split(/\n- /).find((part) => part.startsWith(`${name}: `));
    return found ? found.slice(name.length + 2).replace(/\s+/g, " ").replaceAll("`", "").trim() : null;
  };
  return { meantFor: bullet("For"), notMeantFor: bullet("Not for") };
}

const sizeOf = ({ images, patients }) => ({ images, patients });

/** From the card's table: | `name` | threshold | sensitivity | specificity | ... */
function ofAll(model, card, name, threshold) {
  const figures = inRow(section(card, "### Operating points"), name, threshold, [2, 3, 4]);
  return figures && { ...figures, ...sizeOf(model.results.test) };
}

/** From the card's part about a population, which begins with its name, and says "on 524 images (...) of 366 held-out
 * patients": | `population` | threshold | accuracy | sensitivity | specificity | ... */
function ofPopulation(card, population, threshold) {
  const parts = section(card, "### Each population").split(/^(?=\*\*`)/m);
  const part = parts.find((text) => text.startsWith(`**\`${population}\`**`)) ?? "";
  const size = part.match(/ on (\d+) images .* of (\d+) held-out patients/);
  const figures = size && inRow(part, population, threshold, [2, 4, 5]);
  return figures && { ...figures, images: Number(size[1]), patients: Number(size[2]) };
}

/** From the row with this name and threshold: `columns` of threshold, sensitivity and specificity, which are written as
 * 0.943 (0.916 to 0.966). */
function inRow(text, name, threshold, columns) {
  const rows = text.split("\n").filter((line) => line.startsWith(`| \`${name}\``));
  for (const row of rows) {
    const cells = row.split("|");
    const [limit, sensitivity, specificity] = columns.map((column) => numbersIn(cells[column] ?? ""));
    if (Math.abs(limit[0] - threshold) < 0.00006 && sensitivity.length === 3 && specificity.length === 3) {
      return { sensitivity: measured(sensitivity), specificity: measured(specificity) };
    }
  }
  return null;
}

const numbersIn = (text) => (text.match(/\d+(\.\d+)?/g) ?? []).map(Number);
const measured = ([value, low, high]) => ({ value, low, high });

function section(card, heading) {
  const start = card.indexOf(`${heading}\n`);
  const rest = start < 0 ? "" : card.slice(start + heading.length + 1);
  return rest.split(/^#{2,3} /m)[0];
}
