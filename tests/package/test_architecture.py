"""docs/architecture.md says what is so: the walks are traced, and the layers are those that the linter holds."""

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import sfbench
from synthetic import SyntheticProblem

from ..common import Foreign

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def walk(heading: str) -> list[tuple[str, str]]:
    """Files and functions of a walk of the page, in its order."""
    section = PAGE[PAGE.index(heading) :]
    section = section[: section.index("\n## ", 1)]
    rows = re.findall(r"^\| (\d+) \| `(\S+)` \| `(\S+)` \|", section, re.MULTILINE)
    assert [int(step) for step, _, _ in rows] == list(range(1, len(rows) + 1))
    return [(file, function) for _, file, function in rows]


def traced(call: Callable[[], Any], wanted: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The wanted functions in the order in which a call first enters them."""
    found: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            place = (str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname)
            if place in wanted:
                found.setdefault(place)

    call()  # imports
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return list(found)


@pytest.mark.parametrize("verb", ["fuse", "sample"])
def test_the_walk_is_the_one_that_is_taken(verb: str, reference: SyntheticProblem) -> None:
    process = sfbench.OrnsteinUhlenbeck()
    models = [Foreign(law, process) for law in reference.auxiliaries]
    x = reference.target.sample(300, rng=0)
    result = sfbench.fuse(models, x, process=process, rng=0)
    calls = {
        "fuse": lambda: sfbench.fuse(models, x, process=process, rng=0),
        "sample": lambda: sfbench.sample(result, 50, steps=8, rng=0),
    }
    steps = walk({"fuse": "## The walk of the data", "sample": "## The walk of the source"}[verb])
    assert len({file for file, _ in steps}) == len(steps)  # each file once
    assert traced(calls[verb], set(steps)) == steps


def test_the_layers_are_those_of_the_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(c["layers"] for c in contracts if c.get("containers") == ["sfbench"])
    wanted = [re.sub(r"[()]", "", layer) for layer in layers]
    assert "\n".join(f"    {layer}" for layer in wanted) in PAGE
    listed = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    packages = {path.parent.name for path in (ROOT / "sfbench").glob("*/__init__.py")}
    assert packages <= listed
    assert listed == packages


def test_every_file_that_the_page_names_exists() -> None:
    for name in re.findall(r"`((?:sfbench|solvers)/[\w/]+\.py)`", PAGE):
        assert (ROOT / name).is_file(), name


def test_no_file_has_more_than_400_lines() -> None:
    folders = ("sfbench", "solvers", "synthetic", "benchmarks", "examples", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert len(files) > 500
    assert {name: n for name, n in lengths.items() if n > 400} == {}
