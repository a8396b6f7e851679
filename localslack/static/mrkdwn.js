// Slack's mrkdwn as elements.
import { h, safeUrl } from "./dom.js";

const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", warning: "⚠️", rocket: "🚀", tada: "🎉", eyes: "👀",
  hourglass: "⌛", hourglass_flowing_sand: "⏳", no_entry: "⛔", no_entry_sign: "🚫", bell: "🔔", lock: "🔒",
  unlock: "🔓", key: "🔑", mag: "🔍", bar_chart: "📊", chart_with_upwards_trend: "📈", chart_with_downwards_trend: "📉",
  information_source: "ℹ️", question: "❓", exclamation: "❗", rewind: "⏪", leftwards_arrow_with_hook: "↩️",
  arrow_right: "➡️", arrow_left: "⬅️", arrow_up: "⬆️", arrow_down: "⬇️", arrows_counterclockwise: "🔄",
  large_green_circle: "🟢", large_yellow_circle: "🟡", large_orange_circle: "🟠", red_circle: "🔴",
  large_blue_circle: "🔵", white_circle: "⚪", black_circle: "⚫", rotating_light: "🚨", stopwatch: "⏱️",
  clock1: "🕐", calendar: "📅", memo: "📝", package: "📦", robot_face: "🤖", busts_in_silhouette: "👥",
  bust_in_silhouette: "👤", thumbsup: "👍", "+1": "👍", thumbsdown: "👎", "-1": "👎", wave: "👋", fire: "🔥",
  sparkles: "✨", bulb: "💡", gear: "⚙️", wrench: "🔧", shield: "🛡️", link: "🔗", pushpin: "📌", zap: "⚡",
  heavy_plus_sign: "➕", heavy_minus_sign: "➖", small_blue_diamond: "🔹", test_tube: "🧪", crown: "👑",
  closed_lock_with_key: "🔐", octagonal_sign: "🛑", checkered_flag: "🏁", hammer_and_wrench: "🛠️", label: "🏷️",
  bookmark: "🔖", scroll: "📜", speech_balloon: "💬", raised_hand: "✋", hand: "✋", ok_hand: "👌", smile: "😄",
  slightly_smiling_face: "🙂", thinking_face: "🤔", heart: "❤️", clap: "👏", pray: "🙏", trophy: "🏆",
};

/** The emoji for a name, or the name as it was written. */
export const emoji = (name) => EMOJI[name.split("::")[0]] ?? `:${name}:`;

/** Text as it was typed. */
export const decode = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
const EDGE = "(?<![\\p{L}\\p{N}])";
const END = "(?![\\p{L}\\p{N}])";
const INLINE = new RegExp(
  [
    "<([^<>\\n]+)>",
    "`([^`\\n]+)`",
    `${EDGE}\\*(?=\\S)([^*\\n]*[^*\\s])\\*${END}`,
    `${EDGE}_(?=\\S)([^_\\n]*[^_\\s])_${END}`,
    `${EDGE}~(?=\\S)([^~\\n]*[^~\\s])~${END}`,
    ":([a-z0-9_+'-]+(?:::skin-tone-\\d)?):",
    "(https?://[^\\s<>]+[^\\s<>.,;:!?)\\]'\"])",
  ].join("|"),
  "gu",
);

/** mrkdwn as a list of nodes. `names` finds people, channels, and groups by id. */
export function mrkdwn(text, names) {
  return text.split(/```\n?/).flatMap((part, number) =>
    number % 2 ? [h("pre", {}, h("code", {}, decode(part.replace(/\n$/, ""))))] : lines(part, names),
  );
}

/** plain_text as a list of nodes, with only emoji converted. */
export const plain = (text) => [text.replace(/:([a-z0-9_+'-]+):/g, (_, name) => emoji(name))];

function lines(text, names) {
  const nodes = [];
  let quote = null;
  text.split("\n").forEach((line, number, all) => {
    const quoted = line.match(/^(?:&gt;|>)(?!>)\s?(.*)$/);
    if (quoted) {
      if (!quote) nodes.push((quote = h("blockquote")));
      else quote.append(h("br"));
      quote.append(...inline(quoted[1], names));
      return;
    }
    nodes.push(...inline(line, names));
    if (number < all.length - 1 && !/^(?:&gt;|>)/.test(all[number + 1])) nodes.push(h("br"));
    quote = null;
  });
  return nodes;
}

function inline(text, names) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(decode(text.slice(from, match.index)), span(match, names));
    from = match.index + match[0].length;
  }
  nodes.push(decode(text.slice(from)));
  return nodes.flat().filter((node) => node !== "");
}

function span([all, angle, code, bold, italic, strike, emojiName, url], names) {
  if (angle) return reference(angle, names);
  if (code) return h("code", {}, decode(code));
  if (bold) return h("strong", {}, inline(bold, names));
  if (italic) return h("em", {}, inline(italic, names));
  if (strike) return h("s", {}, inline(strike, names));
  if (emojiName) return emoji(emojiName);
  return link(decode(url), decode(url));
}

function reference(inside, names) {
  const [target, label] = inside.split("|");
  if (target.startsWith("@")) return person(target.slice(1), names);
  if (target.startsWith("#")) return h("span", { class: "mention" }, `#${names.channel(target.slice(1)) ?? label ?? target}`);
  if (target.startsWith("!subteam^")) return h("span", { class: "mention" }, names.group(target.slice(9)) ?? label ?? target);
  if (target.startsWith("!date^")) return date(target, label);
  if (target.startsWith("!")) return h("span", { class: "mention" }, `@${target.slice(1)}`);
  return link(decode(target), decode(label ?? target));
}

/** A mention of a person, highlighted if it's the current person. */
export function person(id, names) {
  return h("span", { class: names.isMe(id) ? "mention me" : "mention" }, `@${names.person(id)}`);
}

/** A link, if the address is allowed. */
export function link(url, label) {
  const href = safeUrl(url);
  if (!href) return label;
  return h("a", { href, target: "_blank", rel: "noopener noreferrer" }, label.replace(/^mailto:/, ""));
}

const DATES = {
  date_num: { year: "numeric", month: "2-digit", day: "2-digit" },
  date: { year: "numeric", month: "long", day: "numeric" },
  date_short: { year: "numeric", month: "short", day: "numeric" },
  date_long: { weekday: "long", year: "numeric", month: "long", day: "numeric" },
  time: { hour: "2-digit", minute: "2-digit" },
  time_secs: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

/** A time in a format of <!date>, in the reader's time zone. */
export function formatted(seconds, format) {
  const when = new Date(seconds * 1000);
  return format.replace(/\{(ago|\w+?)(_pretty)?\}/g, (all, name, pretty) => {
    if (name === "ago") return ago(when);
    if (pretty && isToday(when)) return "today";
    return DATES[name] ? when.toLocaleString(undefined, DATES[name]) : all;
  });
}

function date(target, fallback) {
  const [, seconds, format, url] = target.split("^");
  const words = /^\d+$/.test(seconds) ? formatted(Number(seconds), decode(format ?? "{date}")) : decode(fallback ?? "");
  const shown = h("time", { title: new Date(Number(seconds) * 1000).toString() }, words);
  return url ? h("a", { href: safeUrl(url), target: "_blank", rel: "noopener noreferrer" }, shown) : shown;
}

const isToday = (when) => when.toDateString() === new Date().toDateString();

function ago(when) {
  const minutes = Math.round((when - Date.now()) / 60000);
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
  if (Math.abs(minutes) < 1440) return relative.format(Math.round(minutes / 60), "hour");
  return relative.format(Math.round(minutes / 1440), "day");
}
