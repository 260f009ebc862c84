"""Every part of docs/extending.md, as a distribution with entry points and as modules, through verbs and commands."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from sfbench import cli
from sfbench._internal.lazy import Registry
from sfbench.errors import SfbenchError
from synthetic import Estimate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
GROUPS = {
    "problems": "comb = my_families:comb",
    "processes": "accelerating = my_processes:Accelerating",
    "estimators": "stein_at_small_noise = my_estimators:SteinAtSmallNoise",
    "samplers": "annealed = my_samplers:AnnealedLangevin",
    "metrics": "hellinger = my_metrics:hellinger",
    "bounds": "weight_error = my_bounds:weight_error",
    "architectures": "gate = my_nets:Gate",
    "solvers": "pairs = my_solvers:Pairs",
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, none of them installed."""
    folder = tmp_path_factory.mktemp("parts")
    files = re.findall(r"`(my_\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(files) == len(GROUPS)
    for name, source in files:
        (folder / name).write_text(source, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a distribution: what `pip install` would write."""
    folder = tmp_path_factory.mktemp("site")
    for path in parts.glob("*.py"):
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    info = folder / "my_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(f"[sfbench.{g}]\n{line}" for g, line in GROUPS.items()))
    return folder


def run(folder: Path, code: str, cwd: Path) -> list[Any]:
    """JSON documents that a program prints, line by line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


VERBS = """
import numpy as np, sfbench
from sfbench.bounds import check_bounds
from sfbench.metrics import kl_divergence, measure
from sfbench.nets import NetworkScore, build_network, load_checkpoint, save_checkpoint
from synthetic import make_problem

process = sfbench.processes.make_process("accelerating")
problem = make_problem("comb", k=2)
x = problem.target.sample(400, rng=0)
result = sfbench.fuse(problem.auxiliaries, x, process=process, estimator="stein_at_small_noise", rng=0)
assert abs(result.weights - 0.5).max() < 0.3
drawn = sfbench.sample(result, 200, "annealed", steps=40, rng=0)
assert drawn.law.startswith("annealed") and abs(drawn.x.mean() - x.mean()) < 1.0
p, q = problem.auxiliaries
distance = measure("hellinger", p, q, rng=0)
assert 0 < distance.value < 1 and distance.value <= 0.5 * kl_divergence(p, q).value + 5 * distance.stderr
_, rows = check_bounds(make_problem("shifted_gaussians", k=2), n=100, process=process)
assert rows[-1].quantity == "|w - w*|" and rows[-1].check.holds and rows[-1].asserted
model = NetworkScore(build_network("gate", {"dim": 1}, process=sfbench.OrnsteinUhlenbeck(), seed=0), 1,
                     sfbench.OrnsteinUhlenbeck())
save_checkpoint("net", model)
assert (load_checkpoint("net").score(x, 0.3) == model.score(x, 0.3)).all()
np.save("x.npy", x)
"""
COMMANDS = """
from sfbench.cli import main
MODULES = {modules!r}
def command(text):
    assert main([*text.split(), *MODULES, "--json"]) == 0, text
command("names")
command("fuse --problem comb --param k=2 -n 200 --process accelerating --estimator stein_at_small_noise "
        "--metric hellinger --out fit")
command("sample fit --sampler annealed -n 50 --steps 10")
command("check --problem shifted_gaussians --param k=2 -n 100 --process accelerating")
command("fuse --data x.npy --model net")
"""


def judge(found: list[Any], *, installed: bool) -> None:
    names, fused, drawn, checked, network = found
    for kind, line in GROUPS.items():
        assert (line.split()[0] in names[kind]) is (installed or kind != "solvers")  # which no module registers
    assert len(fused["weights"]) == 2
    assert fused["process"] == "accelerating"
    assert 0 <= fused["distances"]["hellinger"]["value"] < 0.1
    assert drawn["law"].startswith("annealed")
    assert drawn["weights"] == fused["weights"]
    assert checked[0]["bounds"][-1]["quantity"] == "|w - w*|"
    assert checked[0]["bounds"][-1]["holds"] is True
    assert network["weights"] == [1.0]


@pytest.mark.slow
def test_parts_of_another_distribution_reach_verbs_and_commands(installed: Path, tmp_path: Path) -> None:
    judge(run(installed, VERBS + COMMANDS.format(modules=[]), tmp_path), installed=True)


@pytest.mark.slow
def test_modules_do_the_same_without_an_installation(parts: Path, tmp_path: Path) -> None:
    modules = [part for path in sorted(parts.glob("*.py")) for part in ("--module", str(path))]
    loaded = f"from synthetic import load_module\nfor path in {modules[1::2]!r}: load_module(path)\n"
    judge(run(tmp_path, loaded + VERBS + COMMANDS.format(modules=modules), tmp_path), installed=False)


@pytest.mark.slow
def test_parts_are_named_by_their_place(parts: Path, tmp_path: Path) -> None:
    code = """
from sfbench.cli import main
main("fuse -n 100 --process my_processes:Accelerating --estimator my_estimators.py:SteinAtSmallNoise "
     "--problem my_families:comb --metric my_metrics:hellinger --solver my_solvers.py:Pairs --json".split())
main("sample --sampler my_samplers.py:AnnealedLangevin -n 50 --steps 8 --json".split())
"""
    fused, drawn = run(parts, code, parts)
    assert 0 <= fused["distances"]["my_metrics:hellinger"]["value"] < 0.2
    assert fused["solver"] == "pairs"
    assert drawn["law"].startswith("annealed")


def test_the_page_names_every_group_and_option() -> None:
    for group in GROUPS:
        assert f"`sfbench.{group}`" in PAGE
    table = PAGE[: PAGE.index("## A problem family")]
    assert all(f"`--{option}`" in table for option in ("problem", "process", "estimator", "sampler", "metric", "model"))


# ---------------------------------------------------------------------- what is wrong with a part is said
def registry(monkeypatch: pytest.MonkeyPatch, **plugins: str) -> Registry[Any]:
    points = [EntryPoint(name, value, "sfbench.things") for name, value in plugins.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    return Registry("thing", "sfbench.things", {"pi": "math:pi"})


def test_a_registry_finds_every_kind_of_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = registry(monkeypatch, e="math:e", pi="math:tau")
    found.register("mine", 3.0)
    assert found.names() == ["pi", "mine", "e"]
    import math

    assert (found["pi"], found["mine"], found["e"]) == (math.pi, 3.0, math.e)  # a built-in name is not replaced
    assert found["math:tau"] == math.tau
    path = tmp_path / "things_of_a_file.py"
    path.write_text("tau = 6")
    assert found[f"{path}:tau"] == 6
    for name in ("pi", "a:b", 3):
        with pytest.raises(SfbenchError, match="cannot be registered"):
            found.register(name, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pie", r"unknown thing 'pie' \(did you mean 'pi'\?\); use one of pi, broken, or module:name"),
        (3, "unknown thing 3; use one of pi, broken"),
        (["pi"], "unknown thing"),
        ("broken", "its plugin 'math:nothing' cannot be loaded"),
        ("math:nothing", "'math' neither registers thing 'nothing' nor holds anything of that name"),
        ("absent_module:x", "cannot import 'absent_module'"),
        ("absent.py:x", "there is no file 'absent.py'"),
    ],
)
def test_unknown_and_broken_parts_are_named(name: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SfbenchError, match=message):
        registry(monkeypatch, broken="math:nothing")[name]


def test_names_of_other_things_are_refused() -> None:
    from sfbench.metrics import get_metric
    from sfbench.processes import make_process
    from sfbench.sampling.api import as_sampler
    from sfbench.statistics.estimators import as_estimator

    with pytest.raises(SfbenchError, match=r"metric must be a function of two laws or one of .*, got 'math:pi'"):
        get_metric("math:pi")
    with pytest.raises(SfbenchError, match="process must be a ForwardProcess"):
        make_process("math:pi")
    with pytest.raises(SfbenchError, match=r"process 'karras' cannot be made: .*'sigma'"):
        make_process("karras", sigma=1.0)
    for name, message in (("math:sqrt", "estimator 'math:sqrt' cannot be made: "), ("math:pi", "makes a float")):
        with pytest.raises(SfbenchError, match=message):
            as_estimator(name)
    with pytest.raises(SfbenchError, match="sampler 'math:sqrt' cannot be made: "):
        as_sampler("math:sqrt")


def test_a_metric_without_an_error_is_refused() -> None:
    from sfbench.metrics import measure

    with pytest.raises(SfbenchError, match=r"must return a synthetic\.Estimate, got 0\.5"):
        measure(lambda p, q: 0.5, None, None)  # type: ignore[arg-type,return-value]
    assert measure(lambda p, q, scale: Estimate(scale), 0, 0, scale=2.0).value == 2.0


@pytest.mark.slow
def test_a_wrong_bound_of_ones_own_is_found_violated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sfbench.bounds import Bound, CheckedBound, Run, check, checks, known_bounds, register_bound

    monkeypatch.setattr(checks._BOUNDS, "own", {})

    def too_small(run: Run) -> list[CheckedBound]:
        bound = Bound(0.5 * run.excess.value, "half of what is observed", "upper", ())
        return [CheckedBound("J(w) - J(w*)", check(run.excess, bound))]

    register_bound("too_small", too_small)
    assert known_bounds()[-1] == "too_small"
    command = ["check", "--problem", "shifted_gaussians", "--n", "50", "--json"]
    assert cli.main(command) == 1
    (record,) = json.loads(capsys.readouterr().out)
    assert record["violated"] is True
    assert [entry["holds"] for entry in record["bounds"] if entry["label"] == "half of what is observed"] == [False]
    register_bound("no_comparison", lambda run: [3.0])  # type: ignore[list-item]
    assert cli.main(command) == 2
    assert "bound 'no_comparison' must return CheckedBound items, got 3.0" in capsys.readouterr().err
