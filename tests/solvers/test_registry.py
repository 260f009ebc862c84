"""Names, laziness, missing libraries."""

import subprocess
import sys

import pytest

from solvers import MissingExtraError, UnknownSolverError, describe_solver, get_solver, known_solvers, registry
from solvers.base import BatchSolver, SimplexSolver


@pytest.mark.slow
def test_importing_solvers_imports_no_backend() -> None:
    code = (
        "import sys, solvers; solvers.known_solvers(); solvers.available_solvers();"
        "solvers.solve(solvers.SimplexQP([[1.0]], [0.0]));"
        "print([m for m in ('cvxpy', 'torch', 'piqp', 'daqp', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_unknown_name_lists_close_matches() -> None:
    with pytest.raises(UnknownSolverError, match="unknown solver 'activeset'; did you mean 'active_set'"):
        get_solver("activeset")
    with pytest.raises(UnknownSolverError, match="known: auto, active_set"):
        get_solver("zzz")


def test_missing_extra_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    registry._load.cache_clear()
    registry._default.cache_clear()
    monkeypatch.setattr(registry, "_importable", lambda module: module not in ("daqp", "piqp"))
    try:
        with pytest.raises(MissingExtraError, match=r"pip install 'sfbench\[daqp\]'") as caught:
            get_solver("daqp")
        assert isinstance(caught.value, ImportError)
        with pytest.raises(MissingExtraError, match=r"pip install sfbench$"):
            get_solver("piqp")
        available = registry.available_solvers()
        assert "daqp" not in available
        assert "active_set" in available
    finally:
        registry._load.cache_clear()
        registry._default.cache_clear()


def test_every_extra_named_by_the_registry_is_declared() -> None:
    import tomllib
    from pathlib import Path

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = {entry.extra for entry in registry._BUILTIN.values()} - {""}
    assert extras <= set(declared["optional-dependencies"])


def test_unknown_option_lists_the_options() -> None:
    with pytest.raises(TypeError, match="solver 'torch' has no option learning_rate; its options: optimizer, lr"):
        get_solver("torch", learning_rate=1.0)


@pytest.mark.parametrize("name", known_solvers())
def test_protocol_and_immutability(name: str) -> None:
    solver = get_solver(name)
    assert isinstance(solver, SimplexSolver)
    assert solver.name == name
    assert solver == get_solver(name)
    assert solver.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_batch_solvers() -> None:
    assert [name for name in known_solvers() if isinstance(get_solver(name), BatchSolver)] == [
        "auto",
        "active_set",
        "torch_projected",
    ]


@pytest.mark.parametrize("name", known_solvers())
def test_every_solver_says_what_it_needs_and_is(name: str) -> None:
    objective, about = describe_solver(name)
    assert objective in {"quadratic", "gradient", "hessian", "conic"}
    assert len(about) > 10


def test_a_missing_solver_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry._load.cache_clear()
    monkeypatch.setattr(registry, "_importable", lambda module: module != "osqp")
    try:
        assert "pip install 'sfbench[osqp]'" in describe_solver("osqp")[1]
    finally:
        registry._load.cache_clear()
