"""The example of docs/studies.md, as a new user types it into an empty folder."""

import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sfbench

DOCS = Path(__file__).resolve().parents[2] / "docs" / "studies.md"


def test_the_engine_could_leave_the_package() -> None:
    """Its contract forbids whatever else there is in sfbench, new modules too."""
    contracts = tomllib.loads((DOCS.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [forbidden] = [c["forbidden_modules"] for c in contracts if c.get("source_modules") == ["sfbench.experiments"]]
    there = {f"sfbench.{module.name}" for module in pkgutil.iter_modules(sfbench.__path__)}
    allowed = {f"sfbench.{name}" for name in ("__main__", "errors", "experiments", "files", "progress")}
    assert there - allowed == set(forbidden) - {"solvers", "synthetic"}


@pytest.mark.slow
def test_the_example_runs_in_an_empty_folder(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["rates_cells.py", "rates.py"]
    for name, code in blocks:
        (tmp_path / name).write_text(code.replace("range(20)", "range(2)").replace("n_jobs=2", "n_jobs=1"))
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parents[1])}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "12 of 12 cells (0 from the store)" in run("rates.py")
    assert "12 of 12 cells (12 from the store)" in run("-m", "sfbench", "study", "resume", "results/rates")
    run("-m", "sfbench", "report", "results/rates")
    assert "solver" in (tmp_path / "results" / "rates" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "results" / "rates" / "plotly.min.js").stat().st_size > 1_000_000
