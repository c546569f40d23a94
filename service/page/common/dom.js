// Building the page without HTML in strings: nothing that comes from a file name or an answer is ever markup.

const TAIL = 12; // characters of a long name that are always seen

export const byId = (id) => document.getElementById(id);

/** An element: el("p", {className: "x"}, "text", child). Names with a dash become attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A file name that is shortened in the middle where it does not fit: its end says more than its middle. */
export function nameOf(name) {
  const tail = name.length > 2 * TAIL ? name.slice(-TAIL) : "";
  return el("span", { className: "name", title: name },
    el("span", { className: "name-start" }, tail ? name.slice(0, -TAIL) : name),
    tail ? el("span", {}, tail) : null);
}

/** Terms and what they say: [["term", "text or element"], ...] as a <dl>; empty entries are left out. */
export function definitions(entries) {
  return el("dl", {}, ...entries.filter(Boolean).flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
}

/** Wraps a function so that it runs at most once per animation frame. */
export function onceAFrame(draw) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  };
}

/** Save a blob as a file of this name. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
