"""Samplers are open: objects, registered names, entry points and integrators all reach `sample` and the command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sfbench
from sfbench import cli
from sfbench.baselines import SuperposedSampler, superdiff
from sfbench.errors import SfbenchError
from sfbench.processes import OrnsteinUhlenbeck, VariancePreserving
from sfbench.sampling import (
    CorrectedSampler,
    Exponential,
    FlowSampler,
    FusedSampler,
    Sampler,
    known_integrators,
    known_samplers,
    register_sampler,
    sample,
)
from sfbench.sampling.api import as_sampler
from sfbench.scores import FusedScore
from synthetic import GaussianMixture, LogLinearPool

ROOT = Path(__file__).parents[2]
LAWS = [GaussianMixture([1.0], [[m]], 0.5) for m in (-0.3, 0.5)]
FUSED = FusedScore(LAWS, [0.5, 0.5], process=OrnsteinUhlenbeck())


@pytest.fixture(scope="module")
def example() -> str:
    """The sampler of docs/extending.md."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text[text.index("## A sampler") :], re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.slow
def test_the_example_of_the_docs_samples_what_it_says(example, capsys):
    names: dict = {}
    exec(example, names)
    result = sample(FUSED, 4000, names["AnnealedLangevin"](moves=8), rng=0)
    pool = LogLinearPool(LAWS, [0.5, 0.5]).sample(100_000, rng=1)
    assert result.law.startswith("annealed Langevin")
    assert result.x.mean() == pytest.approx(pool.mean(), abs=0.05)
    assert result.x.var() == pytest.approx(pool.var(), abs=0.06)
    np.testing.assert_array_equal(
        sample(FUSED, 50, "annealed", steps=9, rng=0).x, sample(FUSED, 50, "annealed", steps=9, rng=0).x
    )
    assert cli.main(["sample", "--sampler", "annealed", "--n", "100", "--steps", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["law"].startswith("annealed Langevin")


@pytest.mark.slow
def test_a_sampler_of_another_distribution_reaches_the_command_line(example, tmp_path):
    (tmp_path / "my_samplers.py").write_text(example)
    info = tmp_path / "my_samplers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_samplers\nVersion: 1.0\n")
    entries = "gentle = my_samplers:AnnealedLangevin\nfused = my_samplers:AnnealedLangevin\nbad = my_samplers:np"
    (info / "entry_points.txt").write_text(f"[sfbench.samplers]\n{entries}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    code = "import sys; from sfbench.cli import main; sys.exit([main(words.split()) for words in sys.argv[1:]][-1])"
    calls = [f"sample --sampler {name} --n 64 --steps 9 --json" for name in ("gentle", "fused", "bad")]
    command = [sys.executable, "-c", code, *calls]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    decoder = json.JSONDecoder()
    gentle, end = decoder.raw_decode(done.stdout)
    built_in, _ = decoder.raw_decode(done.stdout[end:].lstrip())
    assert gentle["law"].startswith("annealed Langevin")
    assert built_in["law"].startswith("fused law")  # a plugin cannot replace a built-in
    assert done.returncode == 2
    assert done.stderr.startswith("sfbench: sampler 'bad' makes a module")


@pytest.mark.parametrize("name", [*known_integrators(), "ddpm", "ancestral"])
def test_integrators_are_names_of_samplers(name):
    chosen = as_sampler(name)
    wanted = known_integrators().get(name, Exponential(1).law)
    assert chosen.law == wanted
    assert type(chosen) is (FlowSampler if wanted.startswith("probability-flow") else FusedSampler)
    steps = 2 if name == "adaptive" else 20
    np.testing.assert_array_equal(
        sample(FUSED, 20, name, steps=steps, rng=0).x, sample(FUSED, 20, chosen, steps=steps, rng=0).x
    )


def test_ddpm_is_ancestral_sampling():
    wanted = sample(FUSED, 20, FusedSampler(Exponential(1)), steps=20, rng=0).x
    for name in ("ddpm", "ancestral", "exponential"):
        np.testing.assert_array_equal(sample(FUSED, 20, name, steps=20, rng=0).x, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", known_samplers())
def test_every_named_sampler_says_its_law_and_its_steps(name):
    chosen = as_sampler(name)
    result = sample(FUSED, 600, name, rng=0)
    assert result.law == chosen.law
    assert result.diagnostics.n_steps == chosen.n_steps


@pytest.mark.parametrize("rule", ["or", "and"])
def test_superposition_is_a_sampler(rule):
    seen: list[int] = []
    result = sample(FUSED, 40, SuperposedSampler(rule), steps=30, rng=2, callback=lambda j, *_: seen.append(j))
    np.testing.assert_array_equal(result.x, superdiff(FUSED, 40, rule, steps=30, rng=2).x)
    assert rule.upper() in result.law
    assert seen == list(range(1, 31))
    assert sample(FUSED, 40, SuperposedSampler(rule), steps=9, rng=2, dtype=np.float32).x.dtype == np.float32


@pytest.mark.parametrize(
    "thing", [None, 3, ["fused"], np.array(["fused"]), {"fused": 1}, FusedSampler, "fusd", "", "Fused"]
)
def test_what_is_not_a_sampler_is_named(thing):
    with pytest.raises(SfbenchError, match="sampler"):
        sample(FUSED, 5, thing, rng=0)


def test_names_that_cannot_be_registered():
    for name in ("fused", 3, ["mine"]):
        with pytest.raises(SfbenchError, match="cannot be registered"):
            register_sampler(name, FusedSampler)
    register_sampler("no sampler", dict)  # type: ignore[arg-type]
    with pytest.raises(SfbenchError, match="makes a dict"):
        sample(FUSED, 5, "no sampler")


def test_a_model_that_knows_its_process_needs_no_other():
    class Net:
        dim, process = 1, VariancePreserving()

        def score(self, x, t):
            return -x

    np.testing.assert_array_equal(
        sample(Net(), 9, steps=5, rng=0).x, sample(Net(), 9, steps=5, rng=0, process=VariancePreserving()).x
    )
    with pytest.raises(SfbenchError, match=r"VariancePreserving.*OrnsteinUhlenbeck"):
        sample(Net(), 9, steps=5, process=OrnsteinUhlenbeck())


def test_the_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Sampler()  # type: ignore[abstract]
    assert isinstance(CorrectedSampler(), Sampler)
    assert sfbench.sampling.corrected.ParticleRun is not None  # a documented path
