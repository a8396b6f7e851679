// Menus with external options: the app is queried while someone types, and its options are listed under the box.
import { freshId, h } from "./dom.js";
import { plain } from "./mrkdwn.js";

// Slack's default for min_query_length.
const MIN_LETTERS = 3;
const words = (option) => plain(option.text.text).join("");

/** A box that looks up options. `context` as in elements.js; its answer is a complete option or, for `many`, a list. */
export function lookup(item, context, { label, placeholder, many }) {
  const listId = freshId("offers");
  let chosen = many ? (context.state?.selected_options ?? []) : [context.state?.selected_option].filter(Boolean);
  let options = [];
  let marked = 0;
  let asked = 0;
  const box = h("input", {
    ...label, type: "text", placeholder, role: "combobox", autocomplete: "off",
    "aria-expanded": "false", "aria-controls": listId, "aria-autocomplete": "list",
  });
  const list = h("ul", { id: listId, role: "listbox", class: "offers", "aria-label": "Options", hidden: true });
  const tags = h("span", { class: "chosen" });

  const mark = (number) => {
    marked = number;
    [...list.children].forEach((entry, at) => entry.setAttribute("aria-selected", String(at === number)));
    box.setAttribute("aria-activedescendant", list.children[number].id);
    list.children[number].scrollIntoView({ block: "nearest" });
  };
  const show = (found) => {
    options = found;
    const entry = (option, number) =>
      h("li", { id: `${listId}-${number}`, role: "option", onmousedown: (event) => { event.preventDefault(); take(option); } }, words(option));
    list.replaceChildren(...(options.length ? options.map(entry) : [h("li", { role: "presentation" }, h("span", {}, "No results"))]));
    list.hidden = false;
    box.setAttribute("aria-expanded", "true");
    if (options.length) mark(0);
    else box.removeAttribute("aria-activedescendant");
  };
  const hide = () => {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  };
  const tidy = () => {
    box.value = many ? "" : chosen.map(words).join("");
    hide();
  };
  const draw = () => {
    tags.replaceChildren(...(many ? chosen : []).map((option) =>
      h("button", { type: "button", class: "button", "aria-label": `Remove ${words(option)}`, onclick: () => drop(option) }, words(option), " ✕")));
    tidy();
  };
  const choose = (options) => { chosen = options; draw(); context.changed(); };
  const take = (option) => choose(many ? [...chosen.filter((one) => one.value !== option.value), option] : [option]);
  const drop = (option) => choose(chosen.filter((one) => one !== option));
  const ask = async (typed) => {
    const mine = ++asked;
    if (typed.length < (item.min_query_length ?? MIN_LETTERS)) return hide();
    const found = await context.suggest(context.block, item, typed);
    if (mine === asked) show(found);
  };
  const open = () => { if (list.hidden && item.min_query_length === 0) ask(""); };
  box.addEventListener("input", () => ask(box.value));
  box.addEventListener("click", open);
  box.addEventListener("blur", () => { asked += 1; if (!many && !box.value && chosen.length) choose([]); else tidy(); });
  const move = (step) => options.length && mark((marked + step + options.length) % options.length);
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => options.length && take(options[marked]),
    Escape: hide,
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") open();
    if (list.hidden || !keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  context.tell(() => (many ? chosen : chosen[0] ?? null));
  draw();
  return h("div", { class: "lookup" }, tags, box, list);
}
