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

/** A probability with four decimals, never rounded to 0 or 1. */
export function shown(fraction) {
  if (fraction > 0 && fraction < 0.00005) return "< 0.0001";
  if (fraction < 1 && fraction >= 0.99995) return "> 0.9999";
  return fraction.toFixed(4);
}
