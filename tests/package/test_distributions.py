"""The built distributions: what they hold, the wheel in an empty environment, a study from the unpacked source."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import sfbench
from sfbench.files import provenance

from .test_statements import resolve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def run(command: list[str], folder: Path, codes: tuple[int, ...] = (0,)) -> str:
    """What a command prints in an environment that holds nothing of this checkout."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode in codes, done.stderr[-2000:]
    return done.stdout


WITHOUT_EXTRAS = """
from importlib.machinery import PathFinder

extras = set("accelerate daqp dask diffusers distributed efficientnet_lite_pytorch mnist1d openmm ot peft".split())
extras |= set("plotly proxsuite pyarrow qpsolvers sklearn transformers zarr".split())
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in extras else find(name, *rest)
"""


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel in it and the libraries of this one but the extras."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    wheel = str(next(built.glob("*.whl")))
    options = ["--no-deps", "--no-index", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(interpreter), "install", *options, wheel], check=True)
    site = run([str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    (Path(site) / "sitecustomize.py").write_text(WITHOUT_EXTRAS, encoding="utf-8")
    (Path(site) / "lent.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return interpreter


@pytest.mark.slow
def test_the_source_distribution_holds_what_a_checkout_holds(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("benchmarks/complexity/__main__.py", "docs/conf.py", "docs/figures/samples.png", "constraints.txt"):
        assert needed in names
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode == 0:  # built from a checkout: nothing that git ignores
        made = {"PKG-INFO"}
        assert names - made <= {*tracked.stdout.split("\n")}


@pytest.mark.slow
def test_the_wheel_has_instructions_and_nothing_of_the_tests(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        instructions = wheel.read("sfbench/SKILL.md").decode()
    assert "sfbench/llms.txt" in names
    assert f"sfbench-{sfbench.__version__}.dist-info/METADATA" in names
    assert not [name for name in names if re.search(r"test_|conftest|__pycache__|\.sqlite|\.png", name)]
    (block,) = re.findall(r"```python\n(.*?)```", instructions, re.DOTALL)
    exec(compile(block, "SKILL.md", "exec"), {})


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment_without_extras(python: Path, tmp_path: Path) -> None:
    assert str(python.parents[1]) in run([str(python), "-c", "import sfbench; print(sfbench.__file__)"], tmp_path)
    refused = "try:\n    import sklearn\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert "No module named 'sklearn'" in run([str(python), "-c", refused], tmp_path)
    assert sfbench.__version__ in run([str(python), "-m", "sfbench", "--version"], tmp_path)
    fit = ["fuse", "--problem", "paper_mixture_1d", "--param", "scale=6", "-n", "200", "--out", "fit"]
    run([str(python), "-m", "sfbench", *fit], tmp_path)
    assert (tmp_path / "fit").is_dir()


def test_the_citation_names_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(sfbench.__version__)}$", text, re.MULTILINE)


def test_instructions_for_assistants_know_the_public_names() -> None:
    text = "".join((ROOT / "sfbench" / name).read_text(encoding="utf-8") for name in ("SKILL.md", "llms.txt"))
    named = set(re.findall(r"\b(?:sfbench|solvers|synthetic)(?:\.[A-Za-z]\w*)+", text))
    for place in sorted(named):
        assert resolve(place) is not None
    verbs = {name for name in sfbench.__all__ if not name[0].isupper()}
    assert sorted(f"sfbench.{name}" for name in verbs if f"sfbench.{name}" not in text) == []


def test_the_readme_is_a_screen_and_a_half() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 90  # of 60 a screen
    assert sum(line.startswith("|---") for line in lines) == 1
    assert sum(line.startswith("![") for line in lines) == 2  # two laws, and faces


def test_results_are_stamped_with_this_version_however_old_the_installation_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfbench.files.version", lambda name: "0.0.1")  # metadata of an editable installation
    versions = provenance()["versions"]
    assert versions["sfbench"] == sfbench.__version__
    assert versions["numpy"] == "0.0.1"


@pytest.mark.package
def test_a_study_runs_from_the_source_distribution(built: Path, python: Path, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    sizes = ["--n", "64", "128", "--d", "4", "--k", "2", "--seeds", "2", "--jobs", "1"]
    command = [str(python), "-m", "benchmarks.complexity", "--quick", *sizes, "--out", "out"]
    run(command, source, codes=(0, 1))  # 1: a claim fails, as slopes of two sizes and two seeds may
    assert (source / "out" / "1_samples.png").stat().st_size > 0
    assert (source / "out" / "claims.json").is_file()
