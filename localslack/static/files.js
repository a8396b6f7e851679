// Uploaded files: pictures are shown, everything else is a link with its name and size.
import { h, safeUrl } from "./dom.js";

/** The address of an image block's or element's picture: external, or one of the files that the person can see. */
export function source(item, names) {
  const file = item.slack_file;
  if (!file) return safeUrl(item.image_url ?? "") ?? "";
  // Both of a file's addresses contain its id: …/files-pri/T…-F…/name and …/files/U…/F…/name.
  return names.file(file.id ?? file.url.match(/[-/](F[A-Z0-9]+)\/[^/]*$/)?.[1] ?? "");
}

/** The files of a message. */
export const files = (list, names) =>
  h("div", { class: "files" }, list.map((file) => (file.original_w ? picture(file, names) : download(file, names))));

function picture(file, names) {
  const url = names.file(file.id);
  // With the size in the markup, the layout doesn't shift when the picture loads.
  const shown = h("img", { src: url, alt: file.alt_txt ?? file.title, width: file.original_w, height: file.original_h });
  const link = h("a", { href: url, target: "_blank", rel: "noopener", "aria-label": `${file.title}, full size` }, shown);
  return h("figure", { class: "file picture", "data-file": file.id }, h("figcaption", {}, file.title), link);
}

function download(file, names) {
  return h(
    "a",
    { class: "file download", href: names.file(file.id), download: file.name, "data-file": file.id },
    h("span", { class: "file-mark", "aria-hidden": "true" }, "📄"),
    h("span", { class: "file-words" }, h("strong", {}, file.title), h("small", {}, about(file))),
  );
}

/** "CSV · 1.2 kB", with the name if the title differs. */
const about = (file) => [file.title === file.name ? "" : file.name, file.pretty_type, bytes(file.size)].filter(Boolean).join(" · ");

function bytes(size) {
  const [unit, count] = size < 1000 ? ["byte", size] : size < 1e6 ? ["kilobyte", size / 1e3] : ["megabyte", size / 1e6];
  const rounded = { maximumFractionDigits: count < 10 ? 1 : 0 };
  return count.toLocaleString(undefined, { style: "unit", unit, unitDisplay: unit === "byte" ? "long" : "short", ...rounded });
}
