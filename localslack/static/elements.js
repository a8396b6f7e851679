// Interactive elements: their appearance and their answers.
//
// Every stateful element is inside a holder that knows its block, its action, and its answer, so that a form can be read
// as {block_id: {action_id: answer}}.
import { freshId, h, safeUrl } from "./dom.js";
import { source } from "./files.js";
import { lookup } from "./lookup.js";
import { plain } from "./mrkdwn.js";

const answers = new WeakMap();

/** The answers in all elements under a node. */
export function collect(node) {
  const found = {};
  for (const holder of node.querySelectorAll("[data-action]")) {
    const read = answers.get(holder);
    if (read) (found[holder.dataset.block] ??= {})[holder.dataset.action] = read();
  }
  return found;
}

/** A view's state, with plain answers merged into it. */
export function withTyped(values, typed) {
  const merged = structuredClone(values);
  for (const [block, actions] of Object.entries(typed)) {
    for (const [action, answer] of Object.entries(actions)) {
      const state = merged[block]?.[action];
      if (state) merged[block][action] = answered(state, answer);
    }
  }
  return merged;
}

function answered(state, answer) {
  const field = Object.keys(state).find((name) => name !== "type");
  if (field === "selected_option") return { ...state, selected_option: answer ? optionOf(answer) : null };
  if (field === "selected_options") return { ...state, selected_options: (answer ?? []).map(optionOf) };
  return { ...state, [field]: answer };
}

/** Menus with external options are answered with complete options, others with an option's value. */
const optionOf = (answer) => (typeof answer === "string" ? { value: answer } : answer);

/**
 * Render an element. `context` has: names, state (values of state.values), act(block, element, answer, node),
 * suggest(block, element, typed) for the app's options, and inputId for the label of an input block.
 */
export function element(block, item, context) {
  const draw = KINDS[item.type];
  if (!draw) return h("span", { class: "unknown" }, `(${item.type} isn't shown here)`);
  const state = context.state?.[block.block_id]?.[item.action_id];
  const holder = h("div", { class: `element of-${item.type}`, "data-block": block.block_id, "data-action": item.action_id });
  const changed = () => {
    const dispatches = block.type !== "input" || block.dispatch_action;
    if (dispatches) context.act(block, item, answers.get(holder)(), holder);
  };
  holder.append(draw(item, { ...context, block, state, holder, changed, tell: (read) => answers.set(holder, read) }));
  return holder;
}

const wordsOf = (text) => (text ? plain(text.text).join("") : "");
const label = (item, context) =>
  context.inputId
    ? { id: context.inputId, "aria-describedby": context.describedBy, "aria-required": context.required ? "true" : null }
    : { "aria-label": wordsOf(item.placeholder) || item.action_id };

function button(item, context) {
  const press = () => context.act(context.block, item, null, node);
  const look = { class: `button ${item.style ?? ""}`, "aria-label": item.accessibility_label };
  const url = item.url && safeUrl(item.url);
  const node = url
    ? h("a", { ...look, href: url, target: "_blank", rel: "noopener noreferrer", onclick: press }, plain(item.text.text))
    : h("button", { ...look, type: "button", onclick: press }, plain(item.text.text));
  return node;
}

function select(item, context, choices, chosen) {
  const node = h(
    "select",
    { ...label(item, context), onchange: context.changed },
    h("option", { value: "" }, wordsOf(item.placeholder) || "Choose…"),
    choices,
  );
  node.value = chosen ?? "";
  context.tell(() => node.value || null);
  return node;
}

const optionNode = (option) => h("option", { value: option.value }, wordsOf(option.text));

function staticSelect(item, context) {
  const groups = (item.option_groups ?? []).map((group) =>
    h("optgroup", { label: wordsOf(group.label) }, group.options.map(optionNode)),
  );
  return select(item, context, [...(item.options ?? []).map(optionNode), ...groups], context.state?.selected_option?.value);
}

const listed = (context, kind) => context.names.list(kind).map(({ id, name }) => h("option", { value: id }, name));

const from = (kind, field) => (item, context) => select(item, context, listed(context, kind), context.state?.[field]);

/** A checklist, collapsed until it's opened. */
function many(item, context, choices, chosen) {
  const group = freshId("many");
  const boxes = choices.map(({ value, words }) => {
    const box = h("input", { type: "checkbox", name: group, value, checked: chosen.includes(value) });
    return h("label", { class: "tick" }, box, h("span", {}, words));
  });
  const ticked = () => boxes.filter((one) => one.firstChild.checked);
  const summary = h("summary", label(item, context));
  const tell = () => {
    summary.textContent = ticked().map((one) => one.textContent).join(", ") || wordsOf(item.placeholder) || "Choose…";
  };
  tell();
  context.tell(() => ticked().map((one) => one.firstChild.value));
  return h("details", { class: "many", onchange: () => { tell(); context.changed(); } }, summary, h("div", { class: "ticks" }, boxes));
}

const optionsOf = (item) => [...(item.options ?? []), ...(item.option_groups ?? []).flatMap((group) => group.options)];

const multiStatic = (item, context) =>
  many(
    item,
    context,
    optionsOf(item).map((option) => ({ value: option.value, words: wordsOf(option.text) })),
    (context.state?.selected_options ?? []).map((option) => option.value),
  );

const multiFrom = (kind, field) => (item, context) =>
  many(
    item,
    context,
    context.names.list(kind).map(({ id, name }) => ({ value: id, words: name })),
    context.state?.[field] ?? [],
  );

const external = (many) => (item, context) =>
  lookup(item, context, { label: label(item, context), placeholder: wordsOf(item.placeholder), many });

function ticks(type, chosenOf, read) {
  return (item, context) => {
    const group = freshId(type);
    const chosen = chosenOf(context.state);
    const boxes = item.options.map((option) => {
      const box = h("input", { type, name: group, value: option.value, checked: chosen.includes(option.value) });
      const words = option.text.type === "mrkdwn" ? context.words(option.text) : plain(option.text.text);
      const more = option.description && h("small", {}, wordsOf(option.description));
      return h("label", { class: "tick" }, box, h("span", {}, words, more));
    });
    context.tell(() => read(boxes.map((one) => one.firstChild).filter((box) => box.checked).map((box) => box.value)));
    return h("div", { role: type === "radio" ? "radiogroup" : "group", ...label(item, context), onchange: context.changed }, boxes);
  };
}

function typed(type) {
  return (item, context) => {
    const tag = item.multiline || type === "rich" ? "textarea" : "input";
    const node = h(tag, {
      ...label(item, context),
      type: tag === "input" ? type : null,
      rows: tag === "textarea" ? 4 : null,
      placeholder: wordsOf(item.placeholder),
      maxlength: item.max_length,
      step: item.is_decimal_allowed ? "any" : null,
      onchange: context.changed,
      value: (type === "rich" ? richWords(context.state?.rich_text_value) : context.state?.value) ?? "",
    });
    context.tell(() => (type === "rich" ? richText(node.value) : node.value));
    return node;
  };
}

const richText = (words) =>
  words && {
    type: "rich_text",
    elements: [{ type: "rich_text_section", elements: [{ type: "text", text: words }] }],
  };
const richWords = (value) => value?.elements?.flatMap((part) => part.elements.map((run) => run.text ?? "")).join("");

function picked(type, field) {
  return (item, context) => {
    const node = h("input", { ...label(item, context), type, onchange: context.changed });
    const held = context.state?.[field];
    if (held) node.value = type === "datetime-local" ? localTime(held) : held;
    context.tell(() => (type === "datetime-local" && node.value ? Date.parse(node.value) / 1000 : node.value || null));
    return node;
  };
}

const localTime = (seconds) =>
  new Date(seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60000).toISOString().slice(0, 16);

function overflow(item, context) {
  const menu = h("details", { class: "overflow-menu" }, h("summary", { "aria-label": "More actions", class: "button" }, "⋯"));
  const choose = (option) => {
    menu.open = false;
    if (option.url && safeUrl(option.url)) window.open(safeUrl(option.url), "_blank", "noopener");
    context.act(context.block, item, option.value, context.holder);
  };
  const entries = item.options.map((option) =>
    h("button", { type: "button", role: "menuitem", onclick: () => choose(option) }, plain(option.text.text)),
  );
  menu.append(h("div", { role: "menu", class: "menu" }, entries));
  return menu;
}

function picture(item, context) {
  return h("img", { class: "accessory-image", src: source(item, context.names), alt: item.alt_text, title: item.alt_text });
}

const KINDS = {
  button,
  workflow_button: button,
  image: picture,
  overflow,
  static_select: staticSelect,
  external_select: external(false),
  multi_external_select: external(true),
  users_select: from("people", "selected_user"),
  conversations_select: from("channels", "selected_conversation"),
  channels_select: from("channels", "selected_channel"),
  multi_static_select: multiStatic,
  multi_users_select: multiFrom("people", "selected_users"),
  multi_conversations_select: multiFrom("channels", "selected_conversations"),
  multi_channels_select: multiFrom("channels", "selected_channels"),
  checkboxes: ticks("checkbox", (state) => (state?.selected_options ?? []).map((option) => option.value), (all) => all),
  radio_buttons: ticks("radio", (state) => [state?.selected_option?.value], (all) => all[0] ?? null),
  plain_text_input: typed("text"),
  rich_text_input: typed("rich"),
  number_input: typed("number"),
  email_text_input: typed("email"),
  url_text_input: typed("url"),
  datepicker: picked("date", "selected_date"),
  timepicker: picked("time", "selected_time"),
  datetimepicker: picked("datetime-local", "selected_date_time"),
};
