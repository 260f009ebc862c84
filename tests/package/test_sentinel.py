"""Foreign packages called ``solvers`` or ``synthetic`` are found out before they run; imports are quick."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sfbench._internal import sentinel

ROOT = Path(__file__).parents[2]
CANARY = "print('FOREIGN CODE RAN'); raise SystemExit(9)\n"


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def shadow(folder: Path, kind: str, name: str) -> Path:
    """A foreign module or package in a folder; returns what the message must name."""
    if kind == "script":
        place = folder / f"{name}.py"
        place.write_text(CANARY, encoding="utf-8")
        return place
    place = folder / name
    place.mkdir()
    (place / "__init__.py").write_text(CANARY, encoding="utf-8")
    return place


@pytest.mark.parametrize("name", sentinel.OWN_PACKAGES)
@pytest.mark.parametrize("kind", ["script", "package"])
def test_a_foreign_package_is_named_and_not_run(tmp_path: Path, kind: str, name: str) -> None:
    place = shadow(tmp_path, kind, name)
    done = run(sys.executable, "-c", "import sfbench", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("sfbench._internal.sentinel.ShadowedPackageError: ")
    assert f"package {name!r} is not sfbench's: {place} comes before {ROOT / name} on sys.path" in last
    assert "virtual environment of its own" in last
    assert "FOREIGN" not in done.stdout


@pytest.mark.parametrize("name", sentinel.OWN_PACKAGES)
def test_the_console_script_says_so_in_one_line(tmp_path: Path, name: str) -> None:
    place = shadow(tmp_path, "package", name)
    script = Path(sys.executable).parent / "sfbench"
    done = run(str(script), "doctor", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"sfbench: package {name!r} is not sfbench's: {place}")


def test_both_are_named_at_once(tmp_path: Path) -> None:
    for name in sentinel.OWN_PACKAGES:
        shadow(tmp_path, "package", name)
    done = run(sys.executable, "-c", "import sfbench", cwd=tmp_path)
    assert "package 'solvers'" in done.stderr
    assert "package 'synthetic'" in done.stderr


def test_a_folder_of_that_name_without_code_shadows_nothing(tmp_path: Path) -> None:
    for name in (*sentinel.OWN_PACKAGES, "benchmarks"):
        (tmp_path / name).mkdir()
    assert run(sys.executable, "-c", "import sfbench", cwd=tmp_path).returncode == 0


def test_a_foreign_package_that_is_already_imported_is_found_out(tmp_path: Path) -> None:
    code = (
        "import sys, types; foreign = types.ModuleType('solvers'); foreign.__file__ = '/elsewhere/solvers.py';"
        "sys.modules['solvers'] = foreign; import sfbench"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert "/elsewhere/solvers.py comes before" in done.stderr


def test_a_missing_package_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinel, "find_spec", lambda name: None)
    with pytest.raises(sentinel.ShadowedPackageError, match=r"package 'solvers' is missing: it should be .*reinstall"):
        sentinel.require_own_packages()


def test_the_check_passes_here_and_costs_next_to_nothing() -> None:
    assert sentinel.shadowed((*sentinel.OWN_PACKAGES, "benchmarks")) == {}
    started = time.process_time()
    for _ in range(20):
        sentinel.require_own_packages()
    assert (time.process_time() - started) / 20 < 0.01


# ---------------------------------------------------------------------- what an import brings
HEAVY = ("torch", "cvxpy", "matplotlib", "joblib", "scipy.stats", "scipy.optimize", "scipy.integrate", "piqp", "rich")


@pytest.mark.slow
def test_importing_packages_imports_no_heavy_library(tmp_path: Path) -> None:
    packages = ["synthetic", "solvers", "sfbench", "sfbench.metrics", "sfbench.bounds.checks"]
    code = (
        f"import importlib, sys\nfor name in {packages!r}:\n    importlib.import_module(name)\n"
        f"    print(name, [m for m in {HEAVY} if m in sys.modules])"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stdout.splitlines() == [f"{name} []" for name in packages], done.stderr


@pytest.mark.slow
def test_light_commands_import_no_heavy_library(tmp_path: Path) -> None:
    heavy = tuple(name for name in HEAVY if name != "rich")  # prints the tables
    code = (
        "import sys; from sfbench import cli\n"
        "for command in ('--help', 'solvers', 'problems'):\n"
        "    assert cli.main([command]) == 0\n"
        f"    print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["[]"] * 3


@pytest.mark.slow
def test_an_import_takes_about_half_a_second(tmp_path: Path) -> None:
    """CPU time, best of three, against the time that numpy and scipy's linear algebra take by themselves."""

    def cost(code: str) -> float:
        script = f"import time; {code}; print(time.process_time())"
        return min(float(run(sys.executable, "-c", script, cwd=tmp_path).stdout) for _ in range(3))

    base = cost("import numpy, scipy.linalg, typing")
    assert cost("import sfbench") < 2.0 * base + 0.2
    assert cost("import sfbench.cli") < 2.0 * base + 0.4
