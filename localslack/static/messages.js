// Messages in a list; only changed ones are rendered again.
import { blocks } from "./blocks.js";
import { h, safeUrl } from "./dom.js";
import { files } from "./files.js";
import { emoji, link, mrkdwn } from "./mrkdwn.js";

/** The avatar color for an id. */
export const colour = (id) => [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 997, 7) % 8;

/** An account's avatar: its initials on its color. */
export const face = (id, name) =>
  h("span", { class: `face face-${colour(id)}`, "aria-hidden": "true" }, name.split(/\s+/).map((part) => part[0] ?? "").join("").slice(0, 2).toUpperCase());

/**
 * A list of messages. `context`: names, act(message, block, element, answer, node),
 * suggest(message, block, element, typed), openThread(message), react(message, emoji, remove),
 * entries(message) for its menu's entries {title, act}, and inThread to leave out the thread buttons.
 */
export class MessageList {
  constructor(list, context) {
    Object.assign(this, { list, context, drawn: new Map() });
  }

  /** Show these messages; unchanged ones keep their elements, focus, and answers. */
  show(messages) {
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 80;
    const nodes = [];
    let day = null;
    const kept = new Map();
    for (const message of messages) {
      const date = new Date(message.ts * 1000).toDateString();
      if (date !== day && !this.context.inThread) nodes.push(this.#day(date));
      day = date;
      nodes.push(this.#node(message, kept));
    }
    this.drawn = kept;
    if (!messages.length) nodes.push(h("li", { class: "empty" }, "No messages yet."));
    this.#put(nodes);
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  /** Scroll to a message and highlight it. */
  reveal(ts) {
    const node = this.drawn.get(ts)?.node;
    node?.scrollIntoView({ block: "center" });
    node?.classList.add("glow");
  }

  forget() {
    this.drawn = new Map();
    this.list.replaceChildren();
  }

  #put(nodes) {
    nodes.forEach((node, number) => {
      if (this.list.children[number] !== node) this.list.insertBefore(node, this.list.children[number] ?? null);
    });
    while (this.list.children.length > nodes.length) this.list.lastChild.remove();
  }

  #day(date) {
    const key = `day ${date}`;
    const words = date === new Date().toDateString() ? "Today" : new Date(date).toLocaleDateString(undefined, { weekday: "long", month: "long", day: "numeric" });
    const existing = [...this.list.children].find((node) => node.dataset.day === key);
    return existing ?? h("li", { class: "day", "data-day": key }, h("span", {}, words));
  }

  #node(message, kept) {
    const json = JSON.stringify(message);
    const before = this.drawn.get(message.ts);
    const node = before?.json === json ? before.node : this.#draw(message);
    kept.set(message.ts, { json, node });
    return node;
  }

  #draw(message) {
    const { names } = this.context;
    const name = names.author(message.user);
    const when = new Date(message.ts * 1000);
    const classes = ["message", message.is_ephemeral ? "ephemeral" : "", message.subtype === "tombstone" ? "gone" : ""];
    return h(
      "li",
      { class: classes.join(" ").trim(), "data-testid": message.is_ephemeral ? "ephemeral" : "message", "data-ts": message.ts },
      face(message.user, name),
      h(
        "article",
        { "aria-label": `${name}, ${when.toLocaleTimeString()}` },
        message.is_ephemeral && h("p", { class: "only-you" }, "👁 Only visible to you"),
        h(
          "p",
          { class: "who" },
          h("strong", {}, name),
          message.bot_id && h("span", { class: "badge" }, "APP"),
          h("time", { datetime: when.toISOString(), title: when.toLocaleString() }, when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
        ),
        this.#body(message),
        message.edited && h("span", { class: "edited", title: new Date(message.edited.ts * 1000).toLocaleString() }, "(edited)"),
        this.#reactions(message),
        this.#threadLink(message),
        this.#menu(message),
      ),
    );
  }

  #body(message) {
    const state = {};
    const context = {
      names: this.context.names,
      state: initialState(message.blocks ?? [], state),
      act: (block, item, answer, node) => this.context.act(message, block, item, answer, node),
      suggest: (block, item, typed) => this.context.suggest(message, block, item, typed),
    };
    const hasBlocks = message.blocks?.length;
    return [
      !hasBlocks && message.text && h("div", { class: "words" }, mrkdwn(message.text, this.context.names)),
      hasBlocks && h("div", { class: "blocks" }, blocks(message.blocks, context)),
      (message.attachments ?? []).map((one) => attachment(one, context)),
      message.files && files(message.files, this.context.names),
    ];
  }

  #reactions(message) {
    const { names, react } = this.context;
    const one = ({ name, users, count }) => {
      const mine = users.some(names.isMe);
      const who = users.map(names.author).join(", ");
      const press = () => react(message, name, mine);
      return h("button", { type: "button", class: "button", "aria-pressed": String(mine), title: `${who}: ${name}`, "aria-label": `${name}, ${count}`, onclick: press }, emoji(name), ` ${count}`);
    };
    return message.reactions && h("div", { class: "reactions" }, message.reactions.map(one));
  }

  /** A message's menu, collapsed until it's opened, which creates its entries. */
  #menu(message) {
    if (message.is_ephemeral || message.subtype === "tombstone") return null;
    const list = h("div", { role: "menu", class: "menu" });
    const menu = h("details", { class: "overflow-menu message-menu" }, h("summary", { class: "plain", "aria-label": "Message menu" }, "⋯"), list);
    const entry = ({ title, act }) => h("button", { type: "button", role: "menuitem", onclick: () => { menu.open = false; act(); } }, title);
    menu.addEventListener("toggle", () => {
      if (!menu.open) return;
      list.replaceChildren(...this.context.entries(message).map(entry));
      list.scrollIntoView({ block: "nearest" });
    });
    return menu;
  }

  #threadLink(message) {
    if (this.context.inThread || message.is_ephemeral || message.subtype === "tombstone") return null;
    const open = () => this.context.openThread(message);
    if (message.reply_count) {
      const words = message.reply_count === 1 ? "1 reply" : `${message.reply_count} replies`;
      return h("button", { type: "button", class: "replies", onclick: open }, `💬 ${words}`);
    }
    return h("button", { type: "button", class: "plain reply", onclick: open }, "Reply in thread");
  }
}

function attachment(one, context) {
  return h(
    "div",
    { class: "attachment" },
    one.pretext && h("div", {}, mrkdwn(one.pretext, context.names)),
    one.title && h("strong", {}, one.title_link ? link(one.title_link, one.title) : one.title),
    one.text && h("div", { class: "words" }, mrkdwn(one.text, context.names)),
    one.blocks && blocks(one.blocks, context),
    one.image_url && h("img", { src: safeUrl(one.image_url) ?? "", alt: one.fallback ?? "" }),
  );
}

/** The initial answers of a message's elements. */
function initialState(list, state) {
  for (const block of list) {
    for (const item of [...(block.elements ?? []), block.accessory, block.element]) {
      if (item?.action_id) (state[block.block_id] ??= {})[item.action_id] = initial(item);
    }
  }
  return state;
}

function initial(item) {
  return {
    value: item.initial_value,
    selected_option: item.initial_option,
    selected_options: item.initial_options,
    selected_user: item.initial_user,
    selected_users: item.initial_users,
    selected_channel: item.initial_channel,
    selected_conversation: item.initial_conversation,
    selected_date: item.initial_date,
    selected_time: item.initial_time,
    selected_date_time: item.initial_date_time,
  };
}
