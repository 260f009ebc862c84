"""The example plugin, installed into a fresh folder, enters the registry and the suite with no edit to sfbench."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "sfbench-solver-plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("plugin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--no-index", "--target", str(target), str(PLUGIN)], check=True)
    return target


def run(installed: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_plugin_is_known_and_conforms(installed: Path) -> None:
    code = """
from solvers import SimplexQP, available_solvers, known_solvers, solve
from solvers.testing import CHECKS, check_solver
assert known_solvers()[-1] == "coordinate_pairs" and "coordinate_pairs" in available_solvers()
report = check_solver("coordinate_pairs")
assert report.passed == tuple(CHECKS)
print(solve(SimplexQP([[2.0, 0.0], [0.0, 2.0]], [0.0, -1.0]), "coordinate_pairs").solver)
"""
    assert run(installed, code) == "coordinate_pairs"


@pytest.mark.slow
def test_plugin_cannot_replace_a_built_in(installed: Path) -> None:
    code = """
import warnings
from importlib.metadata import EntryPoint
import solvers.registry as registry
imposter = EntryPoint("active_set", "sfbench_solver_plugin:CoordinatePairs", registry.ENTRY_POINT_GROUP)
registry.entry_points = lambda group: [imposter]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    cls = type(registry.get_solver("active_set")).__name__
    assert registry.known_solvers().count("active_set") == 1
print(cls, "is ignored" in str(caught[0].message))
"""
    assert run(installed, code) == "ActiveSet True"


def test_without_the_plugin_the_name_is_unknown() -> None:
    from solvers import UnknownSolverError
    from solvers.registry import get_solver

    with pytest.raises(UnknownSolverError):
        get_solver("coordinate_pairs")
