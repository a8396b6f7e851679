// Layout blocks as elements.
import { element } from "./elements.js";
import { freshId, h } from "./dom.js";
import { source } from "./files.js";
import { emoji, formatted, link, mrkdwn, person, plain } from "./mrkdwn.js";

/** Render blocks. `context` is described in elements.js; errors are messages by block id. */
export function blocks(list, context) {
  const words = (text) => (text.type === "mrkdwn" ? mrkdwn(text.text, context.names) : plain(text.text));
  const all = { errors: {}, ...context, words };
  return list.map((block) => draw(block, all));
}

function draw(block, context) {
  const kind = KINDS[block.type];
  if (!kind) return h("p", { class: "unknown" }, `(a ${block.type} block, which isn't shown here)`);
  const node = kind(block, context);
  node.dataset.blockId = block.block_id;
  return node;
}

function section(block, context) {
  const accessory = block.accessory && h("div", { class: "accessory" }, element(block, block.accessory, context));
  const fields = block.fields && h("div", { class: "fields" }, block.fields.map((field) => h("div", {}, context.words(field))));
  const text = block.text && h("div", { class: "words" }, context.words(block.text));
  return h("div", { class: "block section" }, h("div", { class: "section-main" }, text, fields), accessory);
}

function contextBlock(block, context) {
  const items = block.elements.map((item) =>
    item.type === "image" ? h("img", { src: source(item, context.names), alt: item.alt_text }) : h("span", {}, context.words(item)),
  );
  return h("div", { class: "block context" }, items);
}

function image(block, context) {
  const picture = h("img", { src: source(block, context.names), alt: block.alt_text, loading: "lazy" });
  picture.addEventListener("error", () => picture.replaceWith(h("p", { class: "unknown" }, `🖼 ${block.alt_text}`)));
  return h("figure", { class: "block image" }, block.title && h("figcaption", {}, context.words(block.title)), picture);
}

function input(block, context) {
  const inputId = freshId("input");
  const hintId = freshId("hint");
  const complaint = context.errors[block.block_id];
  const describedBy = block.hint || complaint ? hintId : null;
  const inner = element(block, block.element, { ...context, inputId, describedBy, required: !block.optional });
  if (complaint) inner.querySelector(`#${inputId}`)?.setAttribute("aria-invalid", "true");
  return h(
    "div",
    { class: complaint ? "block input wrong" : "block input" },
    h("label", { for: inputId, class: "input-label" }, context.words(block.label), block.optional && h("small", {}, " (optional)")),
    inner,
    describedBy &&
      h(
        "div",
        { id: hintId, class: "below" },
        complaint && h("p", { class: "complaint", role: "alert" }, complaint),
        block.hint && h("p", { class: "hint" }, context.words(block.hint)),
      ),
  );
}

// -- rich text ----------------------------------------------------------------------------------------------------

function runs(list, context) {
  return list.map((run) => styled(RUNS[run.type]?.(run, context) ?? "", run.style));
}

const RUNS = {
  text: (run) => run.text.split("\n").flatMap((line, number) => (number ? [h("br"), line] : [line])),
  link: (run) => link(run.url, run.text ?? run.url),
  user: (run, context) => person(run.user_id, context.names),
  usergroup: (run, context) => h("span", { class: "mention" }, context.names.group(run.usergroup_id) ?? "@group"),
  channel: (run, context) => h("span", { class: "mention" }, `#${context.names.channel(run.channel_id) ?? "channel"}`),
  broadcast: (run) => h("span", { class: "mention" }, `@${run.range}`),
  emoji: (run) => emoji(run.name),
  date: (run) => h("time", {}, formatted(run.timestamp, run.format)),
  color: (run) => h("code", {}, run.value),
};
const STYLES = { bold: "strong", italic: "em", strike: "s", code: "code", underline: "u" };

function styled(node, style = {}) {
  const tags = Object.entries(STYLES).filter(([name]) => style[name]).map(([, tag]) => tag);
  return tags.reduce((inner, tag) => h(tag, {}, inner), node);
}

const RICH = {
  rich_text_section: (part, context) => h("div", {}, runs(part.elements, context)),
  rich_text_preformatted: (part, context) => h("pre", {}, h("code", {}, runs(part.elements, context))),
  rich_text_quote: (part, context) => h("blockquote", {}, runs(part.elements, context)),
  rich_text_list: (part, context) =>
    h(
      part.style === "ordered" ? "ol" : "ul",
      { class: `indent-${part.indent ?? 0}`, start: part.offset ? part.offset + 1 : null },
      part.elements.map((item) => h("li", {}, runs(item.elements, context))),
    ),
};

const richText = (block, context) =>
  h("div", { class: "block rich" }, block.elements.map((part) => RICH[part.type]?.(part, context) ?? ""));

// -- tables -------------------------------------------------------------------------------------------------------

const CELLS = {
  raw_text: (cell) => plain(cell.text),
  raw_number: (cell) => [cell.text ?? String(cell.value)],
  rich_text: (cell, context) => cell.elements.map((part) => RICH[part.type]?.(part, context) ?? ""),
};

function table(block, context) {
  const settings = block.column_settings ?? [];
  const row = (cells, tag) =>
    h(
      "tr",
      {},
      cells.map((cell, column) => {
        const look = [settings[column]?.align ?? "left", settings[column]?.is_wrapped ? "wrapped" : ""].join(" ");
        return h(tag, { class: look, scope: tag === "th" ? "col" : null }, CELLS[cell.type]?.(cell, context) ?? "");
      }),
    );
  const [head, ...rest] = block.rows;
  const caption = typeof block.caption === "string" && h("caption", {}, block.caption);
  return h(
    "div",
    { class: "block table", tabindex: "0", role: "group", "aria-label": "Table" },
    h("table", {}, caption, h("thead", {}, row(head, "th")), h("tbody", {}, rest.map((cells) => row(cells, "td")))),
  );
}

// -- markdown, as apps use it in messages --------------------------------------------------------------------

function markdown(block, context) {
  const asMrkdwn = block.text
    .replace(/^#{1,6}\s+(.*)$/gm, "*$1*")
    .replace(/\*\*(.+?)\*\*/g, "*$1*")
    .replace(/\[([^\]\n]+)\]\(([^)\s]+)\)/g, "<$2|$1>")
    .replace(/^\s*[-*]\s+/gm, "• ");
  return h("div", { class: "block words" }, mrkdwn(asMrkdwn, context.names));
}

const KINDS = {
  header: (block) => h("h3", { class: "block header" }, plain(block.text.text)),
  section,
  divider: () => h("hr", { class: "block" }),
  context: contextBlock,
  actions: (block, context) => h("div", { class: "block actions" }, block.elements.map((item) => element(block, item, context))),
  context_actions: (block, context) => h("div", { class: "block actions" }, block.elements.map((item) => element(block, item, context))),
  image,
  input,
  rich_text: richText,
  table,
  data_table: table,
  markdown,
  alert: (block, context) => h("div", { class: `block alert ${block.level ?? "default"}`, role: "note" }, context.words(block.text)),
  video: (block, context) => h("p", { class: "block" }, "▶ ", link(block.title_url ?? block.video_url, context.words(block.title).join(""))),
};
