// The message box, with completion of commands and names.
import { freshId, h } from "./dom.js";

const MOST = 8;

/** The message box. `offers(word, isFirst)` lists {insert, title, hint}; `send(text)` sends the text. */
export function composer({ id, placeholder, offers, send }) {
  const listId = freshId("offers");
  const box = h("textarea", {
    id,
    rows: 1,
    placeholder,
    "aria-label": placeholder,
    role: "combobox",
    "aria-expanded": "false",
    "aria-controls": listId,
    "aria-autocomplete": "list",
  });
  const list = h("ul", { id: listId, role: "listbox", class: "offers", "aria-label": "Suggestions", hidden: true });
  const button = h("button", { type: "submit", class: "button primary send" }, "Send");
  const form = h("form", { class: "composer", "data-testid": "composer" }, list, box, button);
  const offered = { entries: [], at: 0 };

  const word = () => box.value.slice(0, box.selectionStart).match(/(?:^|\s)(\S*)$/)?.[1] ?? "";
  const show = () => {
    const current = word();
    const isFirst = box.value.slice(0, box.selectionStart) === current;
    offered.entries = current ? offers(current, isFirst).slice(0, MOST) : [];
    offered.at = 0;
    draw();
  };
  const draw = () => {
    list.hidden = !offered.entries.length;
    box.setAttribute("aria-expanded", String(!list.hidden));
    list.replaceChildren(...offered.entries.map(entry));
    if (list.hidden) box.removeAttribute("aria-activedescendant");
    else box.setAttribute("aria-activedescendant", `${listId}-${offered.at}`);
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, 200)}px`;
  };
  const entry = (offer, number) =>
    h(
      "li",
      { id: `${listId}-${number}`, role: "option", "aria-selected": String(number === offered.at), onmousedown: (event) => { event.preventDefault(); take(number); } },
      h("strong", {}, offer.title),
      h("span", {}, offer.hint),
    );
  const take = (number) => {
    const { insert } = offered.entries[number];
    const before = box.value.slice(0, box.selectionStart - word().length) + insert;
    box.value = before + box.value.slice(box.selectionStart);
    box.selectionStart = box.selectionEnd = before.length;
    offered.entries = [];
    draw();
  };
  const move = (by) => {
    offered.at = (offered.at + by + offered.entries.length) % offered.entries.length;
    draw();
  };
  const submit = async () => {
    const text = box.value.trim();
    if (!text) return;
    box.value = "";
    offered.entries = [];
    draw();
    if ((await send(text)) === false && !box.value) box.value = text;
  };
  const isComplete = () => offered.entries[offered.at]?.insert.trim() === word();
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Tab: () => take(offered.at),
    Escape: () => { offered.entries = []; draw(); },
  };
  box.addEventListener("keydown", (event) => {
    if (!list.hidden && keys[event.key]) {
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!list.hidden && !isComplete()) take(offered.at);
      else submit();
    }
  });
  box.addEventListener("input", show);
  box.addEventListener("blur", () => { offered.entries = []; draw(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  return form;
}
