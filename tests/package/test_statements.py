"""The numbered statements of the theory: one numbering, and every function, test and study that they name exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FILES = [
    DOCS / "theory.md",
    *(DOCS / "theory" / f"{name}.md" for name in ("auxiliaries", "diversity", "conditions", "noises", "discrete")),
]


def statements() -> dict[int, str]:
    """Each statement's text by its number, in the order of the pages."""
    found: dict[int, str] = {}
    for path in [*FILES, *sorted({*(DOCS / "theory").glob("*.md")} - {*FILES})]:
        for part in re.split(r"^(?=\*\*T?\d+\. )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            number = re.match(r"\*\*T(\d+)\. ", part)
            assert number, f"{path.name} has a number of its own: {part[:40]!r}"
            assert int(number[1]) not in found, f"two statements are T{number[1]}"
            found[int(number[1])] = re.split(r"^## ", part, flags=re.MULTILINE)[0]
    return found


STATEMENTS = statements()


def resolve(place: str) -> object:
    """What a dotted name means."""
    parts = place.split(".")
    found: object = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(".".join(parts[:i]))
    return found


def test_there_is_one_numbering_without_gaps() -> None:
    assert [*STATEMENTS] == [*range(1, len(STATEMENTS) + 1)]
    assert len(STATEMENTS) >= 26


@pytest.mark.parametrize("number", STATEMENTS)
def test_a_statement_names_a_function_a_test_and_a_study_that_exist(number: int) -> None:
    text = STATEMENTS[number]
    functions = re.findall(r"`((?:sfbench|solvers|synthetic|benchmarks)\.[\w.]+)`", text)
    tests = re.findall(r"`(tests/[\w/]+\.py)`", text)
    studies = re.findall(r"`python -m benchmarks\.(\w+)`", text)
    assert functions, "no function"
    assert tests, "no test"
    assert studies, "no study"
    assert all(resolve(place) is not None for place in functions)
    assert [place for place in tests if not (ROOT / place).is_file()] == []
    assert [name for name in studies if not (ROOT / "benchmarks" / name / "__main__.py").is_file()] == []


NOT_MEASURED = "Not measured: "  # and why, in words


def lacks(text: str) -> str:
    """What a statement lacks: a value of a study that it names, or words why there is none; empty if nothing."""
    named = {*re.findall(r"`python -m benchmarks\.(\w+)`", text)}
    blocks = re.findall(r"<!-- measured: (\w+) \| .*? -->\n(.*?)<!-- end -->", text, re.DOTALL)
    if not blocks:
        return "" if re.search(rf"^{NOT_MEASURED}\w.{{20,}}", text, re.MULTILINE) else "no value and no words why"
    foreign = [study for study, _ in blocks if study not in named]
    empty = [study for study, shown in blocks if "> Measured: " not in shown]
    return f"a value of {foreign}, which it does not name" * bool(foreign) or f"no value of {empty}" * bool(empty)


@pytest.mark.parametrize("number", STATEMENTS)
def test_a_statement_shows_a_measured_value_or_says_why_none(number: int) -> None:
    assert lacks(STATEMENTS[number]) == ""


def test_a_statement_without_a_value_is_noticed() -> None:
    text = "**T1. X.** `python -m benchmarks.complexity`.\n"
    block = "<!-- measured: complexity | x -->\n> Measured: x: **1**.\n<!-- end -->\n"
    assert lacks(text) == "no value and no words why"
    assert lacks(text + block) == ""
    assert lacks(text + block.replace("> Measured: x: **1**.\n", "")) == "no value of ['complexity']"
    assert lacks(text + block.replace(": complexity", ": noises")).startswith("a value of ['noises']")
    assert lacks(text + "Not measured: it is a definition, and its consequences are T2.\n") == ""


def test_a_name_that_is_gone_is_noticed() -> None:
    with pytest.raises(ModuleNotFoundError):
        resolve("sfbench.bounds.no_such_rate")


def test_pages_refer_to_statements_that_exist() -> None:
    for path in [
        *FILES,
        *(DOCS / f"{name}.md" for name in ("auxiliaries", "decide", "diversity", "noises", "discrete")),
    ]:
        named = {int(number) for number in re.findall(r"\bT(\d+)\b", path.read_text(encoding="utf-8"))}
        assert named <= {*STATEMENTS}, path.name
