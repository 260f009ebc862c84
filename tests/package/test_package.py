"""What an installed copy looks like from outside: imports, wheel, documentation, command line."""

import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sfbench

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
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
    assert "optimal: yes" in capsys.readouterr().out


def test_quickstart_recovers_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
    assert "TV to the target" in capsys.readouterr().out


def test_no_file_of_the_readme_is_missing() -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GaussianMixture", "from synthetic import GaussianMixture"),
        ("solvers", "import solvers"),
        ("nothing", "'nothing'$"),
    ],
)
def test_names_of_the_packages_beside_it_are_pointed_at(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=hint):
        getattr(sfbench, name)
