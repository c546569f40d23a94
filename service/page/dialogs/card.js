// The dialog with the model card.

import { byId, el } from "../common/dom.js";
import { say } from "../common/texts.js";
import { renderedCard } from "../service/client.js";

// What a card is made of; anything else of the service's HTML stays out of the page.
const ALLOWED = new Set(["H1", "H2", "H3", "H4", "P", "UL", "OL", "LI", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD",
  "CODE", "PRE", "STRONG", "EM", "DL", "DT", "DD", "DIV", "SECTION", "BLOCKQUOTE", "HR", "BR", "SPAN", "A", "NAV", "CITE"]);

/** Show the card: as the service renders it, else its text. */
export async function openCard(text) {
  const main = await renderedCard().catch(() => null);
  const content = main ? [...main.childNodes].map(copied) : [el("pre", {}, text ?? say("cardMissing"))];
  byId("card").replaceChildren(...content.filter(Boolean));
  byId("about").showModal();
}

/** A node without attributes but those of tables, and without elements that no card has. */
function copied(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE || !ALLOWED.has(node.tagName)) return null;
  const tag = node.tagName === "A" ? "span" : node.tagName.toLowerCase(); // a link would leave the page and its results
  const copy = el(tag, {}, ...[...node.childNodes].map(copied).filter(Boolean));
  for (const name of ["scope", "colspan", "rowspan"]) {
    if (node.hasAttribute(name)) copy.setAttribute(name, node.getAttribute(name));
  }
  return copy;
}
