"""What an installed copy looks like from outside: imports, wheel, documentation, command line."""

import json
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sfbench import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["sfbench", "solvers", "synthetic", "sfbench.cli"])
def test_importing_a_package_imports_no_heavy_library(package: str) -> None:
    heavy = ("torch", "cvxpy", "matplotlib", "scipy.stats")
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_the_wheel_holds_the_three_libraries_and_nothing_else(tmp_path: Path) -> None:
    options = ["--no-deps", "--no-build-isolation", "--quiet", "-w", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sfbench", "solvers", "synthetic"}
    assert {f"{package}/py.typed" for package in ("sfbench", "solvers", "synthetic")} <= set(names)


def test_readme_python_runs_and_prints_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "certified gap" in capsys.readouterr().out


def test_quickstart_recovers_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
    assert "TV to the target" in capsys.readouterr().out


def test_no_file_of_the_readme_is_missing() -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link


def test_fuse_prints_weights_certificate_and_distances(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fuse", "--problem", "shifted_gaussians", "--n", "2000", "--json", "--param", "k=3"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert np.abs(np.subtract(record["weights"], record["true_weights"])).max() < 0.1
    assert record["tv_barycenter_to_target"]["value"] < 0.1
    assert record["certificate_kl_target_to_fused"] > 0
    assert cli.main(["fuse", "--n", "100"]) == 0
    assert "certified gap" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["solvers", "problems", "doctor"])
def test_listing_commands_print_a_table_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command]) == 0
    assert capsys.readouterr().out
    assert cli.main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fuse", "--problem", "shifted_gausians"], "did you mean 'shifted_gaussians'"),
        (["fuse", "--solver", "piqqp"], "did you mean 'piqp'"),
        (["fuse", "--n", "0"], "--n must be at least 1, got 0"),
        (["fuse", "--n", "ten"], "--n"),
        (["fuse", "--param", "k"], "name=value"),
        (["fuse", "--param", "colour=3"], "takes no parameter 'colour'"),
        (["fuse", "--t-min", "-1"], "t_min=-1"),
        (["fuse", "--estimator", "magic"], "unknown estimator 'magic'"),
        (["fuse", "--process", "brownian"], "unknown process 'brownian'"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_arguments_end_in_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
