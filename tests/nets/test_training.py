"""Training: deterministic, resumable to the bit, honest when it fails, and good enough to fuse with."""

import dataclasses
import functools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import sfbench
from sfbench import AnalyticScore, NotFiniteError
from sfbench.nets import (
    CheckpointError,
    DivergedError,
    TrainingError,
    TrainingSettings,
    build_network,
    checkpoint_summary,
    denoising_loss,
    fine_tune,
    fine_tune_lora,
    load_checkpoint,
    register_architecture,
    train_score_network,
)
from synthetic import GaussianMixture

OU = sfbench.OrnsteinUhlenbeck()
LAW = GaussianMixture([0.4, 0.6], [[-1.0], [0.9]], [0.05, 0.1])
SHORT = TrainingSettings(steps=60, batch=64, validate_every=20, checkpoint_every=20, patience=0)


def small(seed=0, dim=1):
    return build_network("mlp", {"dim": dim, "width": 16, "depth": 1}, process=OU, seed=seed)


def weights_of(score):
    return torch.cat([p.reshape(-1) for p in score.module.state_dict().values()]).numpy()


def train(settings=SHORT, **options):
    return train_score_network(small(), LAW.sample(400, rng=0), settings, process=OU, rng=3, **options)


@pytest.mark.slow
def test_same_seed_same_bits_and_another_seed_other_bits():
    first, second = train(), train()
    np.testing.assert_array_equal(weights_of(first.score), weights_of(second.score))
    assert first.history == second.history
    other = train_score_network(small(), LAW.sample(400, rng=0), SHORT, process=OU, rng=4)
    assert np.any(weights_of(other.score) != weights_of(first.score))


@pytest.mark.slow
def test_interrupted_run_resumes_to_the_same_bits(tmp_path):
    whole = train()

    def stop(step, loss):
        if step == 47:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, on_step=stop)
    steps = []
    resumed = train(folder=tmp_path, on_step=lambda step, loss: steps.append(step))
    assert steps[0] == 41  # the state of step 40 was kept
    np.testing.assert_array_equal(weights_of(whole.score), weights_of(resumed.score))
    assert whole.history == resumed.history
    again = train(folder=tmp_path, on_step=lambda step, loss: pytest.fail("a finished run took a step"))
    np.testing.assert_array_equal(weights_of(again.score), weights_of(whole.score))
    np.testing.assert_array_equal(weights_of(load_checkpoint(tmp_path)), weights_of(whole.score))
    assert checkpoint_summary(tmp_path)["validation_loss"] == whole.best_loss


def kept_names(folder):
    return {path.name for path in (folder / "state").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(("call", "count"), [("replace", 4), ("replace", 5), ("replace", 6), ("unlink", 1)])
def test_a_kill_while_the_state_is_written_loses_no_state(tmp_path, monkeypatch, call, count):
    """The second writing of the state is cut off before each of its renames, and before the old files are removed."""
    calls, real = [], {"replace": os.replace, "unlink": Path.unlink}[call]

    def cut(*args, **options):
        calls.append(args)
        if len(calls) == count:
            raise KeyboardInterrupt
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os if call == "replace" else Path, call, cut)
        with pytest.raises(KeyboardInterrupt):
            train(folder=tmp_path)
    steps = []
    resumed = train(folder=tmp_path, on_step=lambda step, loss: steps.append(step))
    assert steps[0] == (41 if call == "unlink" else 21)
    np.testing.assert_array_equal(weights_of(resumed.score), weights_of(train().score))
    assert kept_names(tmp_path) == {"manifest.json", *json.loads((tmp_path / "state" / "manifest.json").read_text())}


@pytest.mark.slow
def test_states_of_the_older_layout_are_read_and_damage_is_found(tmp_path):
    def stop(step, loss):
        if step == 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, on_step=stop)
    state = tmp_path / "state"
    sums = json.loads((state / "manifest.json").read_text())
    for name in sums:
        (state / name).rename(state / (name.split("-")[0] + Path(name).suffix))
    older = {name.split("-")[0] + Path(name).suffix: value for name, value in sums.items()}
    (state / "manifest.json").write_text(json.dumps(older))
    steps = []
    resumed = train(folder=tmp_path, on_step=lambda step, loss: steps.append(step))
    assert steps[0] == 21
    np.testing.assert_array_equal(weights_of(resumed.score), weights_of(train().score))
    assert len(kept_names(tmp_path)) == 3
    [tensors] = state.glob("tensors*")
    blob = bytearray(tensors.read_bytes())
    blob[-5] ^= 4
    tensors.write_bytes(blob)
    with pytest.raises(CheckpointError, match="damaged"):
        train(folder=tmp_path)
    tensors.unlink()
    with pytest.raises(CheckpointError, match="holds no tensors"):
        train(folder=tmp_path)


def test_state_of_another_run_is_refused(tmp_path):
    train(folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"another run \(different settings\)"):
        train(dataclasses.replace(SHORT, learning_rate=1e-4), folder=tmp_path)


def test_divergence_stops_says_the_step_and_keeps_the_last_good_state(tmp_path):
    class Poisoned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.calls, self.dim, self.options = small(), 0, 1, {}

        def forward(self, x, t):
            self.calls += self.training
            return self.net(x, t) * (math.nan if self.calls == 33 else 1.0)

    register_architecture("poisoned", Poisoned)
    with pytest.raises(DivergedError, match="at step 33; the last good state stays in"):
        train_score_network(Poisoned(), LAW.sample(99, rng=0), SHORT, process=OU, folder=tmp_path, rng=0)
    [progress] = (tmp_path / "state").glob("progress*.json")
    assert json.loads(progress.read_text())["progress"]["step"] == 20
    with pytest.raises(DivergedError, match="no folder was given"):
        train_score_network(Poisoned(), LAW.sample(99, rng=0), SHORT, process=OU, rng=0)


@pytest.mark.slow
def test_early_stopping_returns_the_best_not_the_last():
    settings = TrainingSettings(
        steps=3000, batch=64, learning_rate=5e-3, schedule="constant", ema=0.9, validate_every=20, patience=5
    )
    network = build_network("mlp", {"dim": 1, "width": 64}, process=OU)
    x = LAW.sample(12, rng=0)
    result = train_score_network(network, x, settings, process=OU, validation=LAW.sample(200, rng=1), rng=0)
    losses = [v for _, _, v in result.history]
    assert result.steps < 3000
    assert "no better validation loss" in result.reason
    assert result.best_loss == min(losses) < losses[-1]
    assert result.best_step == result.history[int(np.argmin(losses))][0]


def test_validation_noise_is_fixed():
    """Two validations of unchanged weights must agree to the bit: a tiny learning rate leaves the loss flat."""
    settings = dataclasses.replace(SHORT, learning_rate=1e-30)
    values = {v for _, _, v in train(settings).history}
    assert len(values) == 1
    assert 0.2 < values.pop() < 1.0


@pytest.fixture(scope="module")
def trained():
    """Networks by what they predict and their process, each trained once."""

    @functools.cache
    def get(kind, process):
        settings = TrainingSettings(steps=500, batch=256, patience=0, learning_rate=5e-3, ema=0.98)
        network = build_network("mlp", {"dim": 1, "width": 48, "depth": 2}, process=process)
        x = LAW.sample(5000, rng=0)
        return train_score_network(network, x, settings, process=process, parameterisation=kind, rng=1).score

    return get


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "process"),
    [
        ("v", OU),
        ("epsilon", OU),
        ("v", sfbench.VarianceExploding(25.0)),
        ("velocity", sfbench.processes.FlowMatching()),
    ],
)
def test_small_network_reaches_a_stated_score_error(trained, kind, process):
    """Mean of sigma^2 |s_theta - s|^2 over noise levels below 0.01 (a network that knows nothing: about 0.5)."""
    found = trained(kind, process)
    truth, errors = AnalyticScore(LAW, process), []
    for t in process.horizon * np.geomspace(1e-3, 1.0, 10):
        noisy, _ = process.perturb(LAW.sample(2000, rng=2), float(t), rng=3)
        gap = found.score(noisy, float(t)) - truth.score(noisy, float(t))
        errors.append(float(process.sigma(t)) ** 2 * np.mean(gap**2))
    assert np.mean(errors) < 0.01


@pytest.mark.slow
def test_fused_weights_of_trained_networks_lie_within_their_interval_of_the_population_weights():
    """Weights fitted through networks agree with those of the exact scores on the same data."""
    laws = [GaussianMixture([1.0], [[-1.0]], 0.4), GaussianMixture([0.5, 0.5], [[1.2], [0.4]], 0.3)]
    settings = TrainingSettings(steps=500, batch=128, patience=0, learning_rate=3e-3, ema=0.98)
    models = [
        train_score_network(small(i), law.sample(4000, rng=i), settings, process=OU, rng=i).score
        for i, law in enumerate(laws)
    ]
    target = sfbench.population_weights  # the population optimum, by quadrature
    from synthetic import SyntheticProblem

    mixture = GaussianMixture([0.5, 0.5], [[-0.8], [0.9]], 0.35)
    problem = SyntheticProblem("two", mixture, tuple(laws), None)
    grid = sfbench.time_grid(1e-2, 1.0, 8)
    population = target(problem, process=OU, grid=grid)
    result = sfbench.fuse(models, mixture.sample(300, rng=9), process=OU, t_min=1e-2, t_max=1.0, n_nodes=8, rng=0)
    low, high = result.confidence_interval(0.99).T
    assert np.all(population >= low)
    assert np.all(population <= high)
    assert high[0] - low[0] < 0.4


@pytest.mark.slow
def test_fine_tuning_full_and_lora_move_towards_the_new_law(trained):
    other = GaussianMixture([0.9, 0.1], [[-1.0], [0.9]], [0.05, 0.1])
    settings = TrainingSettings(steps=200, batch=128, patience=0, learning_rate=3e-3, ema=0.95)
    base = trained("v", OU)
    held_out, before = other.sample(1500, rng=8), weights_of(base)
    start = denoising_loss(base, held_out)[0]
    full = fine_tune(base, other.sample(1000, rng=2), settings, rng=1).score
    lora = fine_tune_lora(base, other.sample(1000, rng=2), settings, rank=2, rng=1)
    assert denoising_loss(full, held_out)[0] < start - 0.005
    assert denoising_loss(lora.score, held_out)[0] < start - 0.005
    np.testing.assert_array_equal(weights_of(base), before)
    assert "LoRA of rank 2" in lora.reason
    assert type(lora.score.module) is type(base.module)
    change = lora.score.module.first[0].weight - base.module.first[0].weight
    assert int(torch.linalg.matrix_rank(change, atol=1e-6)) == 2


def test_bad_input_is_refused():
    x = LAW.sample(50, rng=0)
    with pytest.raises(NotFiniteError, match=r"x\[3, 0\] is nan"):
        train_score_network(small(), np.where(np.arange(50)[:, None] == 3, np.nan, x), SHORT, process=OU)
    with pytest.raises(TrainingError, match="x are empty"):
        train_score_network(small(), x[:0], SHORT, process=OU)
    with pytest.raises(TrainingError, match="at least 2"):
        train_score_network(small(), x[:1], SHORT, process=OU)
    with pytest.raises(sfbench.ModelError, match="built for dim 2"):
        train_score_network(small(dim=2), x, SHORT, process=OU)
    with pytest.raises(sfbench.ModelError, match="built for process OrnsteinUhlenbeck"):
        train_score_network(small(), x, SHORT, process=sfbench.VariancePreserving())
    with pytest.raises(TrainingError, match="validation has 2 coordinates"):
        train_score_network(small(), x, SHORT, process=OU, validation=np.zeros((4, 2)))
    for wrong in ({"steps": 0}, {"learning_rate": math.nan}, {"ema": 1.0}, {"schedule": "step"}, {"t_min": 0.0}):
        with pytest.raises(TrainingError):
            TrainingSettings(**wrong)
