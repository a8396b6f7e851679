"""Check a built docs site: every link leads to a page, a heading, or a file, and nothing is loaded from elsewhere.

`scripts/site` runs it with .tools' Python. Zensical checks the links in Markdown; this also checks the navigation,
pictures, scripts, and styles. Links to other sites aren't followed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "modulepreload"}


class Page(HTMLParser):
    """A page's links, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect one element's attributes."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and LOADING_LINKS & set(values.get("rel", "").split()):
            self.loaded.append(values["href"])
        if LOADED.get(tag) in values:
            self.loaded.append(values[LOADED[tag]])


def problems(site: Path, base: str = "/") -> Iterator[str]:
    """Yield a line for each broken link, and for each file that's loaded from another site.

    `base`: the path of the published site, which the links on its 404 page start with.
    """
    pages = {path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for name, page in sorted(pages.items()):
        yield from (f"{name}: loads {url}" for url in page.loaded if urlsplit(url).scheme not in ("", "data"))
        for url in dict.fromkeys([*page.links, *page.loaded]):
            if not urlsplit(url).scheme and not _exists(site, pages, name, base, url):
                yield f"{name}: {url} leads nowhere"


def _exists(site: Path, pages: dict[str, Page], name: str, base: str, url: str) -> bool:
    there = urlsplit(urljoin(base + name, url))
    target = unquote(there.path).removeprefix(base)
    if target.endswith("/") or not target:
        target += "index.html"
    if not there.fragment:
        return (site / target).is_file()
    return target in pages and unquote(there.fragment) in pages[target].anchors


def main(site: Path) -> int:
    """Print the problems; return 1 if there are any or if there are no pages, and 0 otherwise."""
    config = tomllib.loads((site.parent / "zensical.toml").read_text(encoding="utf-8"))
    found = list(problems(site, urlsplit(config["project"]["site_url"]).path))
    count = sum(1 for _ in site.rglob("*.html"))
    print("\n".join(found) or f"Checked {count} pages: every link works, and nothing is loaded from elsewhere.")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
