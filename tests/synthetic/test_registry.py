"""Families of one's own: registered here, loaded from a module or file, named in place, or of another distribution."""

import doctest
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthetic import (
    GaussianMixture,
    ShapeError,
    SimplexError,
    SyntheticError,
    SyntheticProblem,
    UnknownNameError,
    families,
    family,
    known_problems,
    load_families,
    load_module,
    make_problem,
    problem_parameters,
    registry,
)

from .examples import random_mixture

ROOT = Path(__file__).parents[2]
SOURCE = '''
import numpy as np
from synthetic import GaussianMixture, SyntheticProblem, family, make_problem

@family
def ring(*, rng: np.random.Generator, k: int = 3, d: int = 2, radius: float = 2.0) -> SyntheticProblem:
    """Gaussians on a circle; the target is one at its centre."""
    angles = 2 * np.pi * (np.arange(k) / k + rng.random())
    places = radius * np.stack([np.cos(angles), np.sin(angles), *([0 * angles] * (d - 2))], axis=1)
    laws = [GaussianMixture([1.0], place[None], 1.0) for place in places]
    return SyntheticProblem("anything", GaussianMixture([1.0], np.zeros((1, d)), 1.0), laws, np.full(k, 1 / k))

def undecorated(*, rng, k=2):
    return ring(rng=rng, k=k)

def no_family(k):
    return k
'''


@pytest.fixture(autouse=True)
def registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    modules = set(sys.modules)
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()
    for name in set(sys.modules) - modules:
        if "ring" in name:
            del sys.modules[name]


def make_ring(**change: Any) -> Any:
    def ring(*, rng: np.random.Generator, k: int = 2) -> SyntheticProblem:
        """Mixtures on a circle."""
        laws = [GaussianMixture([1.0], rng.standard_normal((1, 2)), 1.0) for _ in range(k)]
        return SyntheticProblem("ring", laws[0], laws)

    for name, value in change.items():
        setattr(ring, name, value)
    return ring


# ---------------------------------------------------------------------- in this process
def test_a_decorated_function_is_a_family() -> None:
    ring = make_ring()
    assert family(ring) is ring
    assert known_problems()["ring"] == "Mixtures on a circle."
    assert problem_parameters("ring") == {"k": 2}
    problem = make_problem("ring", k=np.int64(3), rng=5)
    assert (problem.name, problem.params, problem.seed) == ("ring", {"k": 3}, 5)
    assert repr(problem) == "SyntheticProblem('ring', k=3, rng=5)"
    family(make_ring())  # the same module may define it again, as a notebook does


def test_the_documented_family_works() -> None:
    assert doctest.testmod(registry).failed == 0


def test_nothing_replaces_a_built_in_family_or_that_of_another_module() -> None:
    with pytest.raises(
        SyntheticError, match="'random_mixtures' is the name of a built-in family; rename the one of test"
    ):
        family(make_ring(__name__="random_mixtures", __module__="test"))
    family(make_ring(__module__="one"))
    with pytest.raises(SyntheticError, match="'ring' is the name of a family of one; rename the one of two"):
        family(make_ring(__module__="two"))
    assert registry._FAMILIES["random_mixtures"] is families.random_mixtures


def positional(rng: Any, k: int = 2, /) -> Any: ...
def without_rng(*, k: int = 2) -> Any: ...
def without_default(*, rng: Any, k: int) -> Any: ...
def with_name(*, rng: Any, name: str = "") -> Any: ...
def with_rest(*, rng: Any, **rest: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (positional, "see 'rng'"),
        (without_rng, "it takes no rng"),
        (without_default, "see 'k'"),
        (with_name, "see 'name'"),
        (with_rest, "see 'rest'"),
        ("ring", "a family is a function, got 'ring'"),
    ],
)
def test_what_cannot_be_a_family_is_refused(function: Any, message: str) -> None:
    with pytest.raises(SyntheticError, match=message):
        family(function)


def test_a_family_that_builds_no_problem_is_named() -> None:
    def broken(*, rng: np.random.Generator) -> Any:
        return rng.random()

    family(broken)
    with pytest.raises(SyntheticError, match=r"family 'broken' must return a SyntheticProblem, got 0\."):
        make_problem("broken")
    assert known_problems()["broken"] == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "rimg",
            r"unknown problem 'rimg'; did you mean 'ring'\?.*@synthetic.family.*load_families.*'sfbench.problems'",
        ),
        ("zzz", "known: bimodal_from_unimodal, .* ring, .*'module:function'"),
        ("no_such_module:ring", "cannot import 'no_such_module': ModuleNotFoundError.*PYTHONPATH.*path/to/file.py"),
        ("no/such/file.py:ring", "there is no file 'no/such/file.py'"),
        ("synthetic.families:shifted_gaussian", "unknown family of synthetic.families|holds no problem families"),
        ("os:getcwd", "'os' holds no problem families"),
        (":", "unknown problem ':'|must be the name"),
        ("", "unknown problem ''"),
    ],
)
def test_unknown_names_say_what_could_be_done(name: str, message: str) -> None:
    family(make_ring())
    with pytest.raises(SyntheticError, match=message):
        make_problem(name)
    with pytest.raises(SyntheticError, match=message):
        problem_parameters(name)


# ---------------------------------------------------------------------- modules and files
@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_rings.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("how", ["path", "string", "relative", "module", "beside"])
def test_families_are_loaded(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "module":
        monkeypatch.syspath_prepend(folder)
        monkeypatch.chdir(ROOT)
    where: Any = {"path": folder / "my_rings.py", "string": str(folder / "my_rings.py"), "relative": "my_rings.py"}
    where = where.get(how, "my_rings")
    assert load_families(where) == ("ring",) == load_families(where)  # again: nothing happens
    assert make_problem("ring", k=4).k == 4
    assert "Gaussians on a circle; the target is one at its centre." in known_problems().values()


def test_a_family_is_named_in_place(folder: Path) -> None:
    for name in ("my_rings:ring", "my_rings:undecorated", f"{folder / 'my_rings.py'}:ring"):
        problem = make_problem(name, k=5, rng=3)
        assert (problem.name, problem.k) == (name, 5)
        assert problem_parameters(name)["k"] in (2, 3)
        recipe = json.loads(json.dumps(problem.recipe))
        np.testing.assert_array_equal(make_problem(**recipe).auxiliaries[4].means, problem.auxiliaries[4].means)
    with pytest.raises(UnknownNameError, match=r"unknown family of my_rings 'rimg'; did you mean 'ring'\?"):
        make_problem("my_rings:rimg")
    with pytest.raises(UnknownNameError, match="unknown family of my_rings 'no_family'"):
        make_problem("my_rings:no_family")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "'broken_rings.py' holds no problem families: decorate functions with @synthetic.family"),
        (
            "import no_such_library",
            "cannot import 'broken_rings.py': ModuleNotFoundError: No module named 'no_such_lib",
        ),
        ("1 / 0", "cannot import 'broken_rings.py': ZeroDivisionError"),
        ("def (", "cannot import 'broken_rings.py': SyntaxError"),
        (SOURCE.replace("def ring", "def shifted_gaussians"), "is the name of a built-in family"),
        ("from synthetic.families import random_mixtures", "holds no problem families"),
    ],
)
def test_what_cannot_be_loaded_is_named(folder: Path, source: str, message: str) -> None:
    (folder / "broken_rings.py").write_text(source)
    for _ in range(2):  # a failure leaves nothing behind
        with pytest.raises(SyntheticError, match=message):
            load_families("broken_rings.py")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (3, "where must be the name of a module or the path of a Python file, got 3"),
        ("", "where must be the name"),
        ("no_such_rings", r"cannot import 'no_such_rings': .*PYTHONPATH"),
        ("no_such_rings.py", "there is no file 'no_such_rings.py'"),
        ("json.py", "a module called 'json' is loaded already, from elsewhere; rename 'json.py'"),
        (".", "where must be the name"),
        ("..x", "where must be the name"),
        ("folder/my_rings", "where must be the name of a module or the path of a Python file"),
    ],
)
def test_bad_places_are_named(folder: Path, where: Any, message: str) -> None:
    (folder / "json.py").write_text(SOURCE)
    with pytest.raises(SyntheticError, match=message):
        load_families(where)


# ---------------------------------------------------------------------- other distributions
@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path into which two distributions with families are installed, one of them broken."""
    site = tmp_path_factory.mktemp("site")
    (site / "foreign_rings.py").write_text(SOURCE)
    for name, entries in {
        "foreign_rings": "circle = foreign_rings:ring\nplain = foreign_rings:undecorated",
        "broken_rings": "torus = no_such_rings:torus\nnumber = foreign_rings:np\nrandom_mixtures = foreign_rings:ring",
    }.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sfbench.problems]\n{entries}\n")
    return site


def run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_families_of_other_distributions_are_found_in_every_process(installed: Path) -> None:
    code = """
import sys, warnings
warnings.simplefilter("ignore")
from synthetic import known_problems, make_problem, SyntheticError
assert "foreign_rings" not in sys.modules
problem = make_problem("circle", k=4)
assert (problem.name, problem.k, problem.seed) == ("circle", 4, 0)
assert make_problem(**problem.recipe).params == problem.params
assert make_problem("plain").k == 2
assert type(make_problem("random_mixtures").target).__name__ == "LogLinearPool"
known = known_problems()
assert known["circle"].startswith("Gaussians on a circle") and "cannot be loaded" in known["torus"]
refused = {"torus": "cannot be loaded", "number": "is not a family", "circel": "did you mean 'circle'"}
for name, message in refused.items():
    try:
        make_problem(name)
    except SyntheticError as error:
        assert message in str(error), error
    else:
        raise AssertionError(name)
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        print(pool.submit(make_problem, "circle").result())
"""
    script = installed / "script.py"
    script.write_text(code)
    done = run(installed, str(script))
    assert done.stdout.strip() == "SyntheticProblem('circle', k=3, d=2, radius=2.0, rng=0)", done.stderr


def test_a_plugin_cannot_replace_a_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("random_mixtures", "elsewhere:ring", registry.ENTRY_POINT_GROUP),
        EntryPoint("circle", "here:ring", registry.ENTRY_POINT_GROUP),
        EntryPoint("circle", "there:ring", registry.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.warns(UserWarning, match="ignored") as caught:
        known = known_problems()
    assert "here:ring" in known["circle"]
    assert make_problem("random_mixtures", k=2).name == "random_mixtures"
    assert [str(w.message) for w in caught] == [
        "plugin 'elsewhere:ring' is ignored: 'random_mixtures' is the name of a built-in family; rename it",
        "plugin 'there:ring' is ignored: 'circle' is the name of plugin 'here:ring'; rename it",
    ]


@pytest.mark.slow
def test_the_command_line_takes_a_family_of_another_distribution(installed: Path) -> None:
    done = run(installed, "-W", "ignore", "-m", "sfbench", "fuse", "--problem", "circle", "--n", "64", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["weights"]) == 3


@pytest.mark.slow
def test_the_family_of_the_documentation_is_complete(tmp_path: Path) -> None:
    """The page's code as a file, its command as it stands, from an empty folder."""
    page = (ROOT / "docs" / "extending.md").read_text()
    (source,) = re.findall(r"`my_families.py`:\n\n```python\n(.*?)```", page, re.DOTALL)
    (command,) = re.findall(r"`sfbench (fuse --problem my_families.py:comb [^`]*)`", page)
    (tmp_path / "my_families.py").write_text(source)
    code = f"import os; os.chdir({str(tmp_path)!r}); from sfbench.cli import main; main({[*command.split(), '--json']})"
    done = run(tmp_path, "-c", code)
    assert len(json.loads(done.stdout)["weights"]) == 4, done.stderr


# ---------------------------------------------------------------------- problems know how they were made
@pytest.mark.parametrize(
    "rng",
    [
        0,
        2**100,
        None,
        np.int32(7),
        np.random.SeedSequence(3).spawn(1)[0],
        np.random.default_rng(4),
        np.random.Generator(np.random.Philox(5)),
    ],
    ids=lambda rng: type(rng).__name__,
)
def test_a_recipe_rebuilds_the_problem(rng: Any) -> None:
    problem = make_problem("random_mixtures", rng=rng, k=2, d=np.int64(3), weights=np.array([0.25, 0.75], np.float32))
    assert problem.recipe is not None
    again = make_problem(**problem.recipe)
    assert repr(again) == repr(problem)
    assert again.params == problem.params == {"k": 2, "d": 3, "m": 3, "covariance": "diagonal", "weights": [0.25, 0.75]}
    for p, q in zip(problem.auxiliaries, again.auxiliaries, strict=True):
        np.testing.assert_array_equal(p.means, q.means)  # type: ignore[union-attr]
    if not isinstance(rng, np.random.Generator):
        json.dumps(problem.recipe)


def test_problems_print_as_what_they_were_made_from() -> None:
    assert (
        repr(make_problem("scaled_gaussians", k=2))
        == "SyntheticProblem('scaled_gaussians', k=2, d=4, ratio=4.0, rng=0)"
    )
    law = random_mixture(0)
    mine = SyntheticProblem("mine", law, [law])
    assert (repr(mine), mine.recipe) == ("SyntheticProblem('mine')", None)


def test_problems_of_ones_own_are_checked() -> None:
    law, weights = random_mixture(0), np.array([0.5, 0.5])
    problem = SyntheticProblem("mine", law, [law, law], weights)
    weights[0] = 7.0
    assert problem.true_weights is not None
    np.testing.assert_array_equal(problem.true_weights, 0.5)
    assert isinstance(problem.auxiliaries, tuple)
    with pytest.raises(ValueError, match="read-only"):
        problem.true_weights[0] = 1.0
    bad: list[tuple[tuple[Any, ...], type[SyntheticError], str]] = [
        ((law, []), ShapeError, r"auxiliaries must be a sequence of at least one law, got \[\]"),
        ((law, law), ShapeError, "auxiliaries must be a sequence of at least one law, got GaussianMixture"),
        ((law, [law, 3]), SyntheticError, r"auxiliaries\[1\] is not a law with dim, log_prob and sample, but 3"),
        ((None, [law]), SyntheticError, "target is not a law with dim"),
        ((law, [random_mixture(0, d=3)]), ShapeError, r"must live in one dimension, got \[2, 3\]"),
        ((law, [law], [0.5, 0.5]), ShapeError, "true_weights must have length 1, got 2"),
        ((law, [law], [0.5]), SimplexError, "true_weights sum to 0.5"),
    ]
    for arguments, error, message in bad:
        with pytest.raises(error, match=message):
            SyntheticProblem("mine", *arguments)


def test_an_edited_file_is_read_again_whatever_its_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # its bytecode would be that of the same size and second
    path = tmp_path / "edited_parts.py"
    for value in "12":
        path.write_text(f"value = {value}\n", encoding="utf-8")
        os.utime(path, (0, 0))
        assert load_module(path).value == int(value)
        del sys.modules["edited_parts"]
