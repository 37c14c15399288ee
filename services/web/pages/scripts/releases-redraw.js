// Drawing again without starting anew: what is the same stays, and with it focus, selection and open details.

import { replace } from "./dom.js";

/** Makes the children of `node` these. An element stays where the new one has its tag and place, so listeners must not
 *  depend on what was drawn. */
export function redraw(node, ...children) {
  alignChildren(node, replace(node.cloneNode(false), ...children));
}

function alignChildren(node, next) {
  const wanted = [...next.childNodes];
  const there = [...node.childNodes];
  wanted.forEach((child, index) => {
    if (!there[index]) node.append(child);
    else if (there[index].nodeName !== child.nodeName) there[index].replaceWith(child);
    else align(there[index], child);
  });
  for (const child of there.slice(wanted.length)) child.remove();
}

function align(node, next) {
  if (node.nodeType === Node.TEXT_NODE) {
    if (node.data !== next.data) node.data = next.data;
    return;
  }
  alignAttributes(node, next);
  alignChildren(node, next);
}

function alignAttributes(node, next) {
  for (const { name } of [...node.attributes]) {
    if (!next.hasAttribute(name) && name !== "open" && name !== "style") node.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "style" && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  // Not as an attribute: the page's Content-Security-Policy lets no style be written into one.
  if (node.style.cssText !== next.style.cssText) node.style.cssText = next.style.cssText;
}
