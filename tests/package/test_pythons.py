"""The wheel in an environment of each supported Python that is here: `make test-pythons`, which needs a registry."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .test_distributions import ROOT, built, run

__all__ = ["built"]

METADATA = """
from importlib.metadata import requires
print(*(line for line in requires("sfbench") if "extra ==" not in line and not line.startswith("torch")), sep="\\n")
"""


def interpreter(version: str) -> str | None:
    """A Python of this version: this one, one of the path, or one of pyenv; a shim that leads nowhere is none."""
    places = [sys.executable, shutil.which(f"python{version}")]
    places += [str(path) for path in sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))]
    for place in filter(None, places):
        done = subprocess.run([place, "-V"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(f"Python {version}."):
            return place
    return None


@pytest.mark.pythons
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_installs_and_fits(version: str, built: Path, tmp_path: Path) -> None:
    """Without torch, whose build for another Python may be several gigabytes: no core verb imports it."""
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} on this machine")
    subprocess.run([found, "-m", "venv", str(tmp_path / "environment")], check=True)
    python = str(tmp_path / "environment" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--no-deps", str(next(built.glob("*.whl")))], check=True)
    needed = run([python, "-c", METADATA], tmp_path).split("\n")
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), *filter(None, needed)], check=True)
    assert re.match(r"sfbench \d", run([python, "-m", "sfbench", "--version"], tmp_path))
    fit = ["fuse", "--problem", "paper_mixture_1d", "--param", "scale=6", "-n", "200", "--out", "fit"]
    run([python, "-m", "sfbench", *fit], tmp_path)
    assert (tmp_path / "fit").is_dir()
    run([python, "-m", "sfbench", "sample", "fit", "--sampler", "corrected"], tmp_path)


def test_this_python_is_found() -> None:
    assert interpreter("{}.{}".format(*sys.version_info)) == sys.executable
    assert interpreter("2.0") is None
