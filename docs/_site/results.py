"""Pages of results, made of the committed tables: ``python -m _site.results`` in ``docs`` writes them.

A page shows what identifies the run, every claim with its negative control, small views of the tables (median and range
over draws) and the figures. Measured values of the theory are filled in likewise. These pages are committed, so that
forges show them too, and a test compares them; their index, which every store changes, is written as the site is built.
"""

import csv
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

ROOT = Path(__file__).parents[2]
DOCS, STORES = ROOT / "docs", ROOT / "benchmarks" / "results"
PAGES, INDEX = DOCS / "results", DOCS / "results" / "index.md"
GUIDES = [DOCS / name for name in ("diffusers.md", "networks.md", "portraits.md", "speed.md")]
VALUED = [*GUIDES, DOCS / "theory.md", *sorted((DOCS / "theory").glob("*.md"))]  # pages with measured values
NOTE = "<!-- Made of the tables in benchmarks/results by `make pages`; edits are lost. -->"


@final
@dataclass(frozen=True)
class View:
    """A table of medians over draws: one row for each value of ``rows``, one column for each of ``columns``."""

    table: str
    title: str
    rows: str
    columns: str
    value: str
    keep: tuple[str, str] | None = None


TITLES = {
    "digits_mnist": "Four digit models on MNIST",
    "mixture_1d": "The published mixture on the line",
    "styles": "When fusion helps against fine-tuning",
    "diffusers_speed": "What fusing diffusers pipelines costs",
    "complexity": "Sample complexity",
    "statements": "Single statements of the theory",
    "auxiliaries": "How many auxiliaries?",
    "diversity": "Weights and diversity",
    "conditions": "When can the rates be trusted?",
    "adequacy": "Is the fit adequate?",
    "sampling_error": "Errors and alarms of the samplers",
    "coverage": "How often intervals cover",
    "window_bias": "The alarm of window bias",
    "discrete": "Discrete spaces",
    "noises": "Angles and heavy tails",
    "tokens": "Real tokens",
    "natural_images": "Patches of photographs",
    "certificates": "Do certificates certify?",
    "solver_speed": "Solvers: times and gaps",
    "wiring": "Are wrong wirings found?",
    "switched": "One model a step: switched sampling",
    "digits_switched": "Switched sampling of digits",
    "digits_diversity": "Weights and diversity of digits",
    "controlled": "Particles that look ahead",
    "portraits": "Portraits",
    "judging": "Is the judge of samples right?",
    "molecules": "Pools of molecules",
    "leaderboard": "Methods within one budget",
    "series": "Series: windows of returns",
    "truths": "Certificates of truths, computed anew",
    "networks_speed": "Networks against their own forward passes",
}
STORE_FILES = ("summary.json", "claims.json", "checks.json")
SERIES = ("returns_sp500", "returns_nasdaq")
VIEWS = {
    "molecules": [
        View("judged.csv", "Networks: torsion total variation by method and n", "method", "n", "tv"),
        View("judged.csv", "Networks: median excess energy (kT)", "method", "n", "excess"),
        *(
            View("compositions.csv", f"QM9, {target}: held-out nats", "method", "n", "nats", ("target", target))
            for target in ("as many N as O", "with F")
        ),
    ],
    "portraits": [
        View("portraits.csv", f"{title} by setting", "setting", "", what)
        for what, title in (
            ("first", "Share of the first group"),
            ("second", "Share of the second group"),
            ("crossed", "Share of crossed groups"),
            ("middle", "Share in the middle"),
            ("vendi", "Vendi score"),
            ("frechet", "Frechet distance to faces of all four groups"),
        )
    ],
    "judging": [View("judging.csv", "Power of a verdict by problem and law", "problem", "law", "power")],
    "leaderboard": [
        View("leaderboard.csv", f"TV to the target, {n} evaluations a point", "method", "problem", "tv", ("budget", n))
        for n in ("256", "64")
    ],
    "series": [
        *(
            View(
                "splits.csv",
                f"{task}: nats a held-out row by law and n (0: all rows)",
                "method",
                "n",
                "log_prob",
                ("task", task),
            )
            for task in SERIES
        ),
        *(
            View(
                "splits.csv",
                f"{task}: energy score of forecasts (smaller is better)",
                "method",
                "n",
                "energy",
                ("task", task),
            )
            for task in SERIES
        ),
    ],
    "networks_speed": [
        View("published_way.csv", "Seconds of each way of learning weights", "way", "networks", "seconds"),
        View("published_way.csv", "Excess over the minimum of the objective", "way", "networks", "excess"),
    ],
    "digits_mnist": [
        View("methods.csv", "Share of sevens by method and n", "method", "n", "share"),
        View("methods.csv", "Digit-FID by method and n (smaller is better)", "method", "n", "fid"),
        View("methods.csv", "Bits per dimension of held-out images (smaller is better)", "method", "n", "bits"),
        View("fixed.csv", "Methods that see no target image: digit-FID", "method", "", "fid"),
    ],
    "mixture_1d": [
        View("methods.csv", "W1 to the target by method and n", "method", "n", "w1"),
        View("methods.csv", "Total variation to the target by method and n", "method", "n", "tv"),
        View(
            "published_way.csv", "CPU time of the published way of learning weights over one pass", "n", "", "cpu_ratio"
        ),
    ],
    "styles": [
        View("comparison.csv", "Fused: nats above the reference network (smaller is better)", "style", "n", "fused"),
        View("comparison.csv", "Fine-tuned, the same", "style", "n", "fine-tuned"),
        View("comparison.csv", "Uniform weights, the same", "style", "n", "uniform weights"),
        View("distances.csv", "Distance of the best auxiliary in nats", "style", "", "distance_nats"),
    ],
}


def number(value: float) -> str:
    """Four significant digits, and no exponent where a person would write none."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.2e}"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table, with a bar inside a cell written so that it does not end it."""
    lines = [[*header], *([*row] for row in rows)]
    text = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    return [text[0], "|" + "---|" * len(lines[0]), *text[1:], ""]


def claims_table(claims: list[dict[str, Any]]) -> list[str]:
    """Every claim of a store: value, interval, requirement, control, verdict."""
    rows = []
    for claim in claims:
        value = claim["value"] if isinstance(claim["value"], str) else number(claim["value"])
        if claim["interval"]:
            value += " [{}, {}]".format(*map(number, claim["interval"]))
        note = f" ({claim['note']})" if claim["note"] else ""
        rows.append((claim["name"] + note, value, claim["required"], claim["control"], claim["verdict"]))
    return table(("claim", "value", "required", "negative control", "verdict"), rows)


def checks_table(checks: dict[str, dict[str, Any]]) -> list[str]:
    """Which certificates were computed anew, when, and how far the kept numbers are from the new ones."""
    rows = [
        (
            name,
            one["difference"] or "agrees",
            "" if one["largest"] is None else number(one["largest"]),
            number(one["cpu_s"]),
            one["date"],
            one["revision"][:12],
            one["sha256"][:12],
        )
        for name, one in checks.items()
    ]
    command = "- Command: `sfbench truths check --record benchmarks/results/truths/checks.json`"
    header = ("problem", "kept digits", "largest difference", "CPU s", "date", "revision", "sha256")
    return [command, "", *table(header, rows)]


def view_table(path: Path, view: View) -> list[str]:
    """Medians and ranges over draws; empty where the folder holds no such numbers."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            wanted = view.keep is None or row.get(view.keep[0]) == view.keep[1]
            if wanted and row.get(view.value):
                cells[row[view.rows], row[view.columns] if view.columns else ""].append(float(row[view.value]))
    if not cells:
        return []
    names = list(dict.fromkeys(name for name, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    columns.sort(key=lambda text: (0, float(text), "") if text.replace(".", "").isdigit() else (1, 0.0, text))

    def cell(values: list[float]) -> str:
        if len(values) < 2:
            return number(values[0]) if values else ""
        return f"{number(statistics.median(values))} [{number(min(values))}, {number(max(values))}]"

    header = (
        [f"n = {column}" if view.columns == "n" else column for column in columns]
        if view.columns
        else ["median [range]"]
    )
    rows = ([name, *(cell(cells.get((name, column), [])) for column in columns)] for name in names)
    return [f"**{view.title}**", "", *table([view.rows, *header], rows)]


def _revision(match: re.Match[str]) -> str:
    return match[1] + (" with uncommitted changes" if match[2] else "")


def _about(record: dict[str, Any]) -> list[str]:
    """What identifies a run, where the store says it."""
    libraries = ", ".join(f"{name} {version}" for name, version in (record.get("versions") or {}).items())
    labels = {
        "Command": f"`{record['command'].replace('.__main__', '')}`" if record.get("command") else "",
        "Seed": str(record.get("seed", "")),
        "Revision": re.sub(r"^(\w{12})\w*(\+changes)?", _revision, str(record.get("revision", ""))),
        "Machine": f"{record['cpus']} CPUs, {record.get('machine', '')}" if record.get("cpus") else "",
        "Software": f"Python {record['python']}; {libraries}" if record.get("python") else libraries,
    }
    return [*(f"- {label}: {text}" for label, text in labels.items() if text), ""]


def _part(folder: Path, study: str) -> list[str]:
    """One folder of a study: run, claims, controls, views, figures."""
    record: dict[str, Any] = {}
    for name in ("summary.json", "manifest.json", "claims.json"):
        if (folder / name).is_file():
            record |= json.loads((folder / name).read_text(encoding="utf-8"))
    lines = _about(record)
    if record.get("runs"):
        rows = [(", ".join(run["methods"]), f"`{run['command']}`", run["revision"][:12]) for run in record["runs"]]
        lines += table(("rows of", "measured by", "at revision"), rows)
    if (folder / "checks.json").is_file():
        lines += checks_table(json.loads((folder / "checks.json").read_text(encoding="utf-8")))
    if record.get("claims"):
        lines += claims_table(record["claims"])
    for view in VIEWS.get(study, []):
        if (folder / view.table).is_file():
            lines += view_table(folder / view.table, view)
    relative = folder.relative_to(ROOT).as_posix()
    for figure in sorted(folder.glob("*.png")):
        words = figure.stem.replace("_", " ")
        lines += [f"![Figure of the study: {words}](../../{relative}/{figure.name})", ""]
    tables = ", ".join(f"`{path.name}`" for path in sorted(folder.glob("*.csv")))
    return [*lines, *([f"Tables in `{relative}`: {tables}.", ""] if tables else [])]


def _is_store(folder: Path) -> bool:
    return any((folder / name).is_file() for name in STORE_FILES)


def study_page(folder: Path) -> str:
    """The page of a study: its own folder, then the stores in folders below it."""
    lines = [NOTE, "", f"# {TITLES.get(folder.name, folder.name.replace('_', ' ').capitalize())}", ""]
    lines += _part(folder, folder.name) if _is_store(folder) else []
    for part in sorted(path for path in folder.iterdir() if path.is_dir() and _is_store(path)):
        lines += [f"## {part.name}", "", *_part(part, folder.name)]
    return "\n".join(lines)


_ABOUT_RESULTS = """\
Made of the tables that the repository keeps: each page says with which command, seed, revision and machine they were
measured, and shows every negative control beside its claim. Other measured values stand in the guides, beside what they
are about."""


def index_page(folders: list[Path]) -> str:
    """Which studies keep their tables in the repository, and how many of their claims stand."""
    rows = []
    for folder in folders:
        stores = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
        claims = [
            claim
            for store in stores
            if (store / "claims.json").is_file()
            for claim in json.loads((store / "claims.json").read_text(encoding="utf-8"))["claims"]
        ]
        stand = sum(claim["holds"] and claim["control_fails"] is not False for claim in claims)
        title = TITLES.get(folder.name, folder.name)
        rows.append((f"[{title}]({folder.name}.md)", f"{stand} of {len(claims)}" if claims else "none: tables"))
    lines = [NOTE, "", "# Results", "", _ABOUT_RESULTS, "", *table(("study", "claims that stand"), rows)]
    names = "\n".join(folder.name for folder in folders)
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", names, "```", ""])


_MEASURED = re.compile(
    r"(<!-- (?P<form>measured|claims): (?P<study>\w+) \| (?P<claim>.*?) -->\n).*?(<!-- end -->)", re.DOTALL
)


def with_measured_values(text: str, results: str = "results") -> str:
    """The text with every ``measured: study | beginning of a claim`` block holding that claim of the study's store.

    A block ``claims: study | beginning`` holds a table of those claims.

    ``results`` is the way from the text's page to the pages of results.

    Raises
    ------
    LookupError
        If no claim of the store begins like that.
    """

    def block(match: re.Match[str]) -> str:
        record = json.loads((STORES / match["study"] / "claims.json").read_text(encoding="utf-8"))
        found = [claim for claim in record["claims"] if claim["name"].startswith(match["claim"])]
        if not found:
            raise LookupError(f"no claim of {match['study']} begins with {match['claim']!r}")
        if match["form"] == "claims":
            return f"{match[1]}\n{chr(10).join(claims_table(found))}\n{match[5]}"
        lines = []
        for claim in found:
            value = claim["value"] if isinstance(claim["value"], str) else number(claim["value"])
            if claim["interval"]:
                value += " [{}, {}]".format(*map(number, claim["interval"]))
            words = [f"{claim['name']}: **{value}**"]
            # what a claim of words requires, its name says
            words += [f"required {claim['required']}"] if claim["required"] and value is not claim["value"] else []
            words += [f"negative control {claim['control']}"] if claim["control"] else []
            words += [f"[{claim['verdict']}]({results}/{match['study']}.md)"]
            lines.append(f"> Measured: {'; '.join(words)}.\n")
        return f"{match[1]}{chr(10).join(lines)}{match[5]}"

    return _MEASURED.sub(block, text)


def _folders() -> list[Path]:
    """Studies that keep something."""
    folders = sorted(path for path in STORES.iterdir() if path.is_dir())
    return [folder for folder in folders if any(_is_store(path) for path in (folder, *folder.iterdir()))]


def pages() -> dict[Path, str]:
    """Every committed page of results, and with measured values, by its path, as the stores ask for it now."""
    made = {PAGES / f"{folder.name}.md": study_page(folder) for folder in _folders()}
    for path in VALUED:
        results = "results" if path.parent == DOCS else "../results"
        made[path] = with_measured_values(path.read_text(encoding="utf-8"), results)
    return made


def index() -> str:
    """The page that links to those of all studies."""
    return index_page(_folders())


def write_index(*_: object) -> None:
    """Write it, unless it is as it should be; Sphinx calls this before it looks for pages."""
    text = index()
    if not INDEX.is_file() or INDEX.read_text(encoding="utf-8") != text:
        INDEX.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the pages, and take away those of studies that are gone."""
    made = pages()
    for path in PAGES.glob("*.md"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    write_index()


if __name__ == "__main__":
    main()
