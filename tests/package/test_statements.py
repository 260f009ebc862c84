"""The numbered statements of the theory: one numbering, and every function, test and study that they name exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FILES = [
    DOCS / "theory.md",
    *(DOCS / "theory" / f"{name}.md" for name in ("auxiliaries", "diversity", "conditions", "noises")),
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


def test_a_name_that_is_gone_is_noticed() -> None:
    with pytest.raises(ModuleNotFoundError):
        resolve("sfbench.bounds.no_such_rate")


def test_pages_refer_to_statements_that_exist() -> None:
    for path in [*FILES, *(DOCS / f"{name}.md" for name in ("auxiliaries", "decide", "diversity", "noises"))]:
        named = {int(number) for number in re.findall(r"\bT(\d+)\b", path.read_text(encoding="utf-8"))}
        assert named <= {*STATEMENTS}, path.name
