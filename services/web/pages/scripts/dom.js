// Elements are built here, never from text: what comes from a server or a file name is always a text node.

const SVG = "http://www.w3.org/2000/svg";

function apply(node, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "style") for (const [property, v] of Object.entries(value)) node.style.setProperty(property, v);
    else if (name === "value" || name === "checked" || name === "indeterminate") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** An HTML element: `el("button", {class: "button", onclick: run, "aria-label": "Run"}, "Run")`. Properties that are
 *  undefined, null or false are left out; `on…` adds a listener; `style` is an object of CSS properties. */
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  // Children first: the value of a <select> is one of its options.
  append(node, children);
  apply(node, props);
  return node;
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  const node = document.createElementNS(SVG, tag);
  apply(node, props);
  return append(node, children);
}

/** Puts other children in the place of a node's own. */
export function replace(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** One element of the page by its id; throws where there is none, so that a typing error is seen at once. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no element #${id}`);
  return found;
}
