"""Links of the built site: ``python -m _site.links _build/html`` in ``docs``, after ``make docs``.

Every link inside the site must lead to a file, and every anchor to an element of it. What readers look for must be at
most three clicks away, counted by links in the text of pages, without menus and search. ``--online`` exits with 0 where
links to other sites can be checked, else with 1 and one line that says so.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, final
from urllib.parse import unquote, urlsplit

CLICKS = 3
PROBE = "https://arxiv.org/"
READERS = {  # what is looked for: page, anchor, words that answer
    "the definition of P_w": ("theory.html", "notation", "what the reverse SDE driven by"),
    "the bound's assumptions": ("theory.html", "what-can-be-guaranteed", "Assumptions"),
    "how to plug in a solver": ("extending.html", "extending-sfbench", "solvers.SimplexSolver"),
    "how to fuse LoRAs": ("diffusers.html", "in-five-minutes", "load_lora_weights"),
    "why uniform weights are often as good": ("decide.html", "why-uniform-weights-are-often-as-good", "quadratic in w"),
}


@final
@dataclass
class Page:
    """What a page holds: ids, links anywhere, links in its text, the text itself."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    in_text: list[str] = field(default_factory=list)
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page, self.depth, self.words = Page(), 0, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.depth += tag == "article"
        if found.get("id"):
            self.page.ids.add(str(found["id"]))
        if tag == "a" and found.get("name"):
            self.page.ids.add(str(found["name"]))
        if tag == "a" and found.get("href"):
            self.page.links.append(str(found["href"]))
            if self.depth:
                self.page.in_text.append(str(found["href"]))

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "article"

    def handle_data(self, data: str) -> None:
        if self.depth:
            self.words.append(data)


def read(path: Path) -> Page:
    """Parse one page."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.page.text = " ".join("".join(reader.words).split())
    return reader.page


def read_site(root: Path) -> dict[Path, Page]:
    """Every page of the site by its path, but the templates that assets bring."""
    return {path: read(path) for path in sorted(root.rglob("*.html")) if "_static" not in path.relative_to(root).parts}


def _target(path: Path, link: str) -> tuple[Path, str] | None:
    """File and anchor of a link inside the site; None for links that leave it."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    return ((path.parent / unquote(parts.path)).resolve() if parts.path else path), unquote(parts.fragment)


def broken(site: dict[Path, Page], root: Path) -> Iterator[str]:
    """Links to files that are not there, or to anchors that they do not hold."""
    for path, page in site.items():
        for link in dict.fromkeys(page.links):
            target = _target(path, link)
            if target is None:
                continue
            where = f"{path.relative_to(root)}: {link}"
            if not target[0].is_file():
                yield f"{where}: there is no such file"
            elif target[1] and target[0] in site and target[1] not in site[target[0]].ids:
                yield f"{where}: the page has no such anchor"


def distances(site: dict[Path, Page], home: Path) -> dict[Path, int]:
    """Clicks from the home page to every page, by links in the text."""
    found, edge = {home: 0}, [home]
    while edge:
        reached = [target for path in edge for link in site[path].in_text if (target := _target(path, link))]
        fresh = dict.fromkeys(path for path, _ in reached if path in site and path not in found)
        found |= dict.fromkeys(fresh, found[edge[0]] + 1)
        edge = [*fresh]
    return found


def unanswered(site: dict[Path, Page], root: Path, readers: dict[str, tuple[str, str, str]]) -> Iterator[str]:
    """Questions whose answer is gone from its place, or further than three clicks away."""
    clicks = distances(site, root / "index.html")
    for question, (name, anchor, words) in readers.items():
        page = site.get(root / name)
        if page is None or anchor not in page.ids or words not in page.text:
            yield f"{question}: {name}#{anchor} does not say {words!r}"
        elif clicks.get(root / name, CLICKS + 1) > CLICKS:
            yield f"{question}: {name} is more than {CLICKS} clicks from the home page"


def online() -> bool:
    """Whether another site answers."""
    try:
        urllib.request.urlopen(urllib.request.Request(PROBE, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code not in (403, 407)  # a proxy that lets nobody out answers so
    except OSError:
        return False
    return True


def main(argv: list[str]) -> Any:
    """Exit status 1 with what is wrong, if anything is."""
    if argv == ["--online"]:
        return None if online() else f"no network here ({PROBE} does not answer): links to other sites are not checked"
    root = Path(os.path.realpath(argv[0]))
    if not (root / "index.html").is_file():
        return f"{argv[0]} holds no built site: make docs"
    site = read_site(root)
    wrong = [*broken(site, root), *unanswered(site, root, READERS)]
    if wrong:
        return "\n".join(wrong)
    clicks = distances(site, root / "index.html")
    print(f"{len(site)} pages, {sum(len(page.links) for page in site.values()):,} links: files and anchors are there")
    print("\n".join(f"{question}: {clicks[root / name]} clicks" for question, (name, _, _) in READERS.items()))
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
