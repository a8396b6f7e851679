// The page: the current person and place, and live updates.
import { act, follow, look } from "./api.js";
import { composer } from "./composer.js";
import { confirmed, Modal } from "./dialogs.js";
import { $, h, redraw, toast } from "./dom.js";
import { collect } from "./elements.js";
import { HomeTab } from "./home.js";
import { face, MessageList } from "./messages.js";
import { decode, mrkdwn, plain } from "./mrkdwn.js";

const WHY = {
  operation_timeout: "did not answer within 3 seconds",
  dispatch_failed: "could not be reached: no app is connected",
  http_service_error: "answered with an error",
  invalid_options: "offered options that Slack wouldn't show",
};
// On the Home tab, the channel is the conversation with the app, which has Home as its other tab.
const state = { me: null, overview: null, channel: null, home: false, thread: null };

// -- names --------------------------------------------------------------------------------------------------------

const people = () => state.overview?.people ?? [];
const channels = () => state.overview?.channels ?? [];
const direct = () => channels().find((one) => one.kind === "im");
const personById = (id) => people().find((one) => one.id === id);
const botName = (id) => (id === state.overview?.bot.id ? state.overview.bot.real_name : undefined);
const names = {
  person: (id) => personById(id)?.name ?? botName(id) ?? id,
  author: (id) => (id === "USLACKBOT" ? "Slackbot" : (personById(id)?.real_name ?? botName(id) ?? id)),
  channel: (id) => channels().find((one) => one.id === id)?.name,
  group: (id) => { const group = state.overview?.groups.find((one) => one.id === id); return group && `@${group.handle}`; },
  file: (id) => `/_ui/file?${new URLSearchParams({ user: state.me, id })}`,
  isMe: (id) => id === state.me,
  list: (kind) => (kind === "people" ? people().filter((one) => !one.deleted && !one.is_bot).map((one) => ({ id: one.id, name: one.real_name }))
    : channels().filter((one) => one.kind !== "im").map((one) => ({ id: one.id, name: `#${one.name}` }))),
};
const words = (text) => (text.type === "mrkdwn" ? mrkdwn(text.text, names) : plain(text.text));

// -- actions --------------------------------------------------------------------------------------------------------

/** Run an action; on an error, show a toast and return undefined. */
async function attempt(name, body) {
  try {
    return await act(name, { user: state.me, ...body });
  } catch (error) {
    toast(`That didn't work: ${error.message}`);
    return undefined;
  }
}

const complain = (result) => {
  if (result && !result.acked && result.error) toast(`${state.overview.app.name} ${WHY[result.error] ?? result.error}. (${result.error})`);
};

/** Click, after a confirmation if needed, with a spinner while waiting; a warning stays if the app doesn't answer. */
async function click(item, node, body) {
  if (item.confirm && !(await confirmed(item.confirm, words))) return;
  const button = node.matches?.("button, a") ? node : node.querySelector("button, select, summary");
  button?.setAttribute("aria-busy", "true");
  button?.classList.remove("failed");
  const result = await attempt("click", body);
  button?.removeAttribute("aria-busy");
  if (!result?.acked) button?.classList.add("failed");
  complain(result);
}

const idsOf = (block, item) => ({ block_id: block.block_id, action_id: item.action_id });

/** The app's options for the text typed in one of its menus; none if it doesn't answer. */
async function suggested(where, block, item, typed) {
  const result = await attempt("suggest", { ...where, ...idsOf(block, item), value: typed });
  if (result?.error) complain({ error: result.error });
  return result?.options ?? [];
}

const placeOf = (message) => ({ channel: message.channel, ts: message.ts });
const suggestInMessage = (message, ...typed) => suggested(placeOf(message), ...typed);
const suggestInView = (view, ...typed) => suggested({ view_id: view.id }, ...typed);

const use = async (shortcut, where) => complain(await attempt("shortcut", { name: shortcut.callback_id, ...where }));
const shortcuts = (type) => state.overview.shortcuts.filter((one) => one.type === type);

/** The actions for a message: react, use the app's shortcuts, and edit or delete one's own. */
function entriesFor(message) {
  const where = placeOf(message);
  const edit = () => {
    const text = window.prompt("Edit the message", decode(message.text));
    if (text) attempt("edit", { ...where, text });
  };
  return [
    { title: "React with 👍", act: () => react(message, "+1", false) },
    ...shortcuts("message").map((one) => ({ title: one.name, act: () => use(one, where) })),
    ...(names.isMe(message.user) ? [{ title: "Edit message", act: edit }] : []),
    ...(names.isMe(message.user) || personById(state.me).is_admin ? [{ title: "Delete message", act: () => attempt("delete", where) }] : []),
  ];
}

const react = (message, name, remove) => attempt("react", { ...placeOf(message), name, remove });

function clickInMessage(message, block, item, answer, node) {
  const answers = collect(node.closest(".message"));
  return click(item, node, { ...placeOf(message), ...idsOf(block, item), answer, answers });
}

const clickInView = (view, block, item, answer, node, answers) =>
  click(item, node, { view_id: view.id, ...idsOf(block, item), answer, answers });

const modal = new Modal(names, words, {
  act: clickInView,
  suggest: suggestInView,
  submit: async (view, answers) => {
    const result = await attempt("submit", { view_id: view.id, answers });
    complain(result);
    return result ? result.errors : { "*": "We had some trouble connecting. Try again?" };
  },
  close: (view, everything) => attempt("close", { view_id: view.id, everything: everything && Boolean(view.previous_view_id) }),
});

async function send(text, thread) {
  const result = await attempt("type", { channel: state.channel, text, thread_ts: thread });
  if (result?.kind === "command") complain(result.error === "not_a_command" ? null : result);
  return Boolean(result);
}

function offers(word, isFirst) {
  if (isFirst && word.startsWith("/")) {
    const fitting = state.overview.commands.filter((one) => one.name.startsWith(word));
    return fitting.map((one) => ({ insert: `${one.name} `, title: one.name, hint: `${one.usage_hint} ${one.description}` }));
  }
  if (!word.startsWith("@")) return [];
  const fitting = [...people(), state.overview.bot].filter((one) => !one.deleted && one.name.startsWith(word.slice(1).toLowerCase()));
  return fitting.map((one) => ({ insert: `@${one.name} `, title: `@${one.name}`, hint: one.real_name }));
}

// -- rendering ------------------------------------------------------------------------------------------------------

const openThread = (message) => showThread(message.thread_ts ?? message.ts);
const inMessages = { names, act: clickInMessage, suggest: suggestInMessage, react, entries: entriesFor };
const room = new MessageList($("messages"), { ...inMessages, openThread });
const home = new HomeTab($("home"), { names, app: () => state.overview.app, act: clickInView, suggest: suggestInView });
let answersList = null;

function drawActing() {
  const options = people().filter((one) => !one.deleted && !one.is_bot);
  const entries = options.map((one, number) => {
    const mine = one.id === state.me;
    const hint = number < 9 ? `${one.real_name} (Alt+${number + 1})` : one.real_name;
    return h(
      "button",
      {
        type: "button", role: "radio", "aria-checked": String(mine), "aria-label": one.real_name, title: hint,
        tabindex: mine ? "0" : "-1", "data-testid": `act-as-${one.name}`, onclick: () => become(one.id),
      },
      face(one.id, one.real_name),
      h("span", { class: "act-name" }, one.real_name),
    );
  });
  const hadFocus = $("acting").contains(document.activeElement);
  $("acting").replaceChildren(h("span", { class: "acting-label", "aria-hidden": "true" }, "Acting as"), ...entries);
  if (hadFocus) $("acting").querySelector("[aria-checked=true]")?.focus();
}

/** A navigation button; it's marked if it leads to the current place. */
function leadsTo(testid, isHere, go, ...children) {
  return h("button", { type: "button", "aria-current": isHere ? "page" : null, "data-testid": testid, onclick: go }, children);
}

function drawSidebar() {
  const isHere = (one) => one.id === state.channel && !state.home;
  const item = (one) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          type: "button", class: one.unread && !isHere(one) ? "unread" : "", "aria-current": isHere(one) ? "page" : null,
          "data-testid": `channel-${one.name}`, onclick: () => enter(one.id),
        },
        h("span", { class: "mark", "aria-hidden": "true" }, one.kind === "im" ? "●" : one.kind === "private_channel" ? "🔒" : "#"),
        h("span", { class: "name" }, one.name),
        one.unread && !isHere(one) ? h("span", { class: "count", "aria-label": `${one.unread} unread` }, String(one.unread)) : null,
      ),
    );
  const rooms = channels().filter((one) => one.kind !== "im" && !one.is_archived).sort((a, b) => a.name.localeCompare(b.name));
  const mark = h("span", { class: "mark", "aria-hidden": "true" }, "⌂");
  const globals = shortcuts("global").map((one) =>
    h("li", { class: "inner" }, h("button", { type: "button", title: one.description, onclick: () => use(one) }, h("span", { class: "mark", "aria-hidden": "true" }, "⚡"), h("span", { class: "name" }, one.name))));
  const toHome = leadsTo("open-home", state.home, enterHome, mark, h("span", { class: "name" }, "Home"));
  redraw(
    $("sidebar"),
    h("h2", {}, "Channels"),
    h("ul", {}, rooms.map(item)),
    h("h2", {}, "Apps"),
    h("ul", {}, channels().filter((one) => one.kind === "im").map(item), state.overview.app.has_home && h("li", { class: "inner" }, toHome), globals),
    h("p", { class: "keys" }, "Alt+1…9 switches the person. Enter sends, Esc closes."),
  );
}

function drawHead() {
  const here = channels().find((one) => one.id === state.channel);
  const title = here ? (here.kind === "im" ? here.name : `#${here.name}`) : "";
  const inApp = state.home ? "Only you see this" : "Direct messages with the app";
  $("room-title").textContent = title;
  $("room-purpose").textContent = here ? (here.kind === "im" ? inApp : `${here.purpose} · ${here.members} members`) : "";
  $("messages").setAttribute("aria-label", `Messages in ${title}`);
  $("home").setAttribute("aria-label", `Home of ${title}`);
  drawTabs(here, title);
  document.title = `${state.home ? `${title} Home` : title} · ${personById(state.me)?.real_name ?? ""} · localslack`;
  $("team").textContent = state.overview.team.name;
  const linked = state.overview.connected;
  $("link-state").textContent = linked ? `${state.overview.app.name} is connected` : `${state.overview.app.name} is not connected`;
  $("link-state").className = linked ? "link-state on" : "link-state off";
  return title;
}

/** The app's tabs, with the current one marked. */
function drawTabs(here, title) {
  $("tabs").hidden = here?.kind !== "im" || !state.overview.app.has_home;
  $("tabs").setAttribute("aria-label", `Tabs of ${title}`);
  redraw(
    $("tabs"),
    leadsTo("tab-home", state.home, enterHome, "Home"),
    leadsTo("tab-messages", !state.home, () => enter(here.id), "Messages"),
  );
  $("home").hidden = !state.home;
  $("messages").hidden = $("write").hidden = state.home;
  $("skip").href = state.home ? "#home" : "#composer";
  $("skip").textContent = state.home ? "Skip to the Home tab" : "Skip to the message box";
}

function drawComposer() {
  const here = channels().find((one) => one.id === state.channel);
  const placeholder = here?.kind === "im" ? `Message ${here.name}` : `Message #${here?.name}`;
  if ($("write").dataset.for === placeholder) return;
  $("write").dataset.for = placeholder;
  $("write").replaceChildren(composer({ id: "composer", placeholder, offers, send: (text) => send(text) }));
}

async function showThread(ts) {
  state.thread = ts;
  const pane = $("thread");
  if (!ts) {
    pane.hidden = true;
    pane.replaceChildren();
    return;
  }
  const list = h("ol", { class: "messages", role: "log", "aria-label": "Replies in the thread", tabindex: "0" });
  const close = h("button", { type: "button", class: "plain", "aria-label": "Close thread", onclick: () => showThread(null) }, "✕");
  pane.replaceChildren(
    h("header", { class: "room-head" }, h("h2", {}, "Thread"), close),
    list,
    h("div", { class: "write" }, composer({ id: "reply", placeholder: "Reply…", offers: () => [], send: (text) => send(text, ts) })),
  );
  pane.hidden = false;
  answersList = new MessageList(list, { ...inMessages, inThread: true });
  await refreshThread();
  $("reply").focus();
}

async function refreshThread() {
  if (!state.thread) return;
  try {
    const { messages } = await look("thread", { user: state.me, channel: state.channel, ts: state.thread });
    answersList.show(messages);
  } catch {
    showThread(null);
  }
}

async function refreshHome() {
  const { view } = await look("home", { user: state.me });
  home.show(view);
}

async function refreshRoom() {
  if (state.home) return;
  const { messages } = await look("messages", { user: state.me, channel: state.channel });
  room.show(messages);
  const here = channels().find((one) => one.id === state.channel);
  if (here?.unread && !document.hidden) await act("read", { user: state.me, channel: state.channel }).then(refreshOverview);
}

async function refreshModals() {
  const { views } = await look("modals", { user: state.me });
  modal.show(views.at(-1) ?? null);
}

async function refreshOverview() {
  state.overview = await look("overview", { user: state.me });
  drawActing();
  drawSidebar();
  drawHead();
  drawComposer();
}

async function refreshAll() {
  await refreshOverview();
  await Promise.all([state.home ? refreshHome() : refreshRoom(), refreshThread(), refreshModals()]);
}

// -- navigation -------------------------------------------------------------------------------------------------

const remember = () => {
  const name = personById(state.me)?.name;
  const here = channels().find((one) => one.id === state.channel);
  history.replaceState(null, "", `/?as=${name}&channel=${here?.kind === "im" ? here.id : here?.name}${state.home ? "&tab=home" : ""}`);
};

async function become(id) {
  state.me = id;
  room.forget();
  home.forget();
  modal.show(null);
  await refreshOverview();
  if (!channels().some((one) => one.id === state.channel) || channels().find((one) => one.id === state.channel).kind === "im") {
    const wasDirect = !channels().some((one) => one.id === state.channel);
    state.channel = (wasDirect ? channels().find((one) => one.kind === "im") : channels()[0])?.id ?? channels()[0].id;
    await showThread(null);
  }
  remember();
  await visit();
  await refreshAll();
}

async function enter(id) {
  state.channel = id;
  state.home = false;
  closeMenu();
  room.forget();
  await showThread(null);
  remember();
  await refreshAll();
  $("messages").scrollTop = $("messages").scrollHeight;
  $("composer").focus();
}

/** Open the Home tab, which notifies the app; the app publishes its view later. */
async function enterHome() {
  await showHome();
  $("home").focus();
}

async function showHome() {
  state.channel = direct().id;
  state.home = true;
  closeMenu();
  home.forget();
  await showThread(null);
  remember();
  await visit();
  await refreshAll();
}

const visit = () => state.home && attempt("open_home", {});

const closeMenu = () => {
  document.body.classList.remove("menu-open");
  $("menu").setAttribute("aria-expanded", "false");
};

$("menu").addEventListener("click", () => {
  const open = document.body.classList.toggle("menu-open");
  $("menu").setAttribute("aria-expanded", String(open));
});

document.addEventListener("keydown", (event) => {
  const number = event.code?.match(/^Digit([1-9])$/)?.[1];
  if ((event.altKey || event.ctrlKey) && number && $("acting").querySelectorAll("[role=radio]")[number - 1]) {
    event.preventDefault();
    $("acting").querySelectorAll("[role=radio]")[number - 1].click();
  } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    closeMenu();
    for (const menu of document.querySelectorAll("details[open]")) menu.open = false;
    if (state.thread) showThread(null);
  }
});

$("acting").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const radios = [...$("acting").querySelectorAll("[role=radio]")];
  const now = radios.findIndex((one) => one.getAttribute("aria-checked") === "true");
  radios[(now + step + radios.length) % radios.length].click();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// -- startup -----------------------------------------------------------------------------------------------------

/** The place in the address: ?as=…&channel=…, or a permalink. */
function destination() {
  const query = new URLSearchParams(location.search);
  const [, , channel, message] = location.pathname.split("/");
  const ts = message?.replace(/^p(\d+)(\d{6})$/, "$1.$2");
  return { as: query.get("as"), channel: channel ?? query.get("channel"), ts, thread: query.get("thread_ts"), tab: query.get("tab") };
}

function needs(changes, reset) {
  const kinds = new Set(changes.map((note) => note.kind));
  const mine = changes.filter((note) => !note.user || note.user === state.me);
  return {
    everything: reset || kinds.has("reset") || kinds.has("people"),
    overview: ["channel", "connection"].some((kind) => kinds.has(kind)) || mine.some((note) => note.kind === "message"),
    room: mine.some((note) => note.kind === "message" && note.channel === state.channel),
    modals: mine.some((note) => note.kind === "view"),
    home: state.home && mine.some((note) => note.kind === "home"),
  };
}

async function changed(changes, reset) {
  const need = needs(changes, reset);
  if (need.everything) return refreshAll();
  if (need.overview) await refreshOverview();
  if (need.room) await Promise.all([refreshRoom(), refreshThread()]);
  if (need.modals) await refreshModals();
  if (need.home) await refreshHome();
}

async function start() {
  const to = destination();
  const everybody = (await look("people", {})).people.filter((one) => !one.deleted && !one.is_bot);
  const me = everybody.find((one) => [one.name, one.id].includes(to.as)) ?? everybody[0];
  state.me = me.id;
  state.overview = await look("overview", { user: me.id });
  const there = channels().find((one) => [one.id, one.name].includes(to.channel)) ?? channels()[0];
  state.channel = there.id;
  if (to.tab === "home" && state.overview.app.has_home) await showHome();
  else await refreshAll();
  $("messages").scrollTop = $("messages").scrollHeight;
  if (to.thread) await showThread(to.thread);
  if (to.ts) (to.thread ? answersList : room).reveal(to.ts);
  else if (!state.home) $("composer").focus();
  let wasLost = false;
  follow(state.overview.seq, changed, (lost) => {
    if (lost) $("link-state").textContent = "The workspace isn't running";
    else if (wasLost) refreshAll();
    wasLost = lost;
  });
}

start();
