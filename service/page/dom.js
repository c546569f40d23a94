// Building the page without HTML in strings: nothing that comes from a file name or an answer is ever markup.

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

/** Runs a function at most once a frame, however often it is asked for. */
export function onceAFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** A probability as people read it. Rounding makes neither a certainty of it. */
export function shown(fraction) {
  if (fraction > 0 && fraction < 0.00005) return "< 0.0001";
  if (fraction < 1 && fraction >= 0.99995) return "> 0.9999";
  return fraction.toFixed(4);
}
