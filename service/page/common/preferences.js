// What this browser remembers: how the page looks, never anything of an image, a result or a key.

const PREFIX = "xray.";
const NAMES = ["language", "theme", "prevalence"];

/** A remembered preference; null if there is none, or the browser keeps nothing. */
export function preference(name) {
  try {
    return localStorage.getItem(PREFIX + checked(name));
  } catch {
    return null;
  }
}

/** Remember a preference; an empty one is forgotten. */
export function remember(name, value) {
  try {
    if (value === "") localStorage.removeItem(PREFIX + checked(name));
    else localStorage.setItem(PREFIX + checked(name), value);
  } catch {
    // Storage is blocked or full: the preference lasts as long as the page.
  }
}

function checked(name) {
  if (!NAMES.includes(name)) throw new Error(`no preference: ${name}`);
  return name;
}
