// Creates elements without markup strings, so that text is never parsed as HTML.

/** Create an element: h("a", {class: "x", onclick: f, href: "…"}, "words", child, …). Empty values are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  element.append(...children.flat(Infinity).filter((child) => ![null, undefined, false, ""].includes(child)));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

/** Replace a node's children; the focused element keeps the focus, by its test id. */
export function redraw(node, ...children) {
  const held = node.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
  node.replaceChildren(...children);
  if (held) node.querySelector(`[data-testid="${CSS.escape(held)}"]`)?.focus();
}

export const $ = (id) => document.getElementById(id);

let last = 0;
/** A unique element id. */
export const freshId = (prefix) => `${prefix}-${++last}`;

/** Addresses that a message can link to; anything else stays text. */
export function safeUrl(url) {
  try {
    const parsed = new URL(url);
    return ["http:", "https:", "mailto:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

/** Show a toast for a while. */
export function toast(words, kind = "warning") {
  const note = h("div", { class: `toast ${kind}`, "data-testid": "toast" }, words);
  const close = h("button", { class: "plain", "aria-label": "Dismiss", onclick: () => note.remove() }, "✕");
  note.append(close);
  $("toasts").append(note);
  setTimeout(() => note.remove(), 8000);
}
