"""U-Nets on flattened images, and the baselines built on networks."""

import dataclasses

import numpy as np
import pytest
import torch

import sfbench
from sfbench import AnalyticScore, ModelError, time_grid
from sfbench.baselines.networks import average_checkpoints, fine_tuned_nearest, from_scratch, nearest, sample_mixture
from sfbench.baselines.published_fusion import published_fusion
from sfbench.nets import (
    NetworkDivergence,
    NetworkScore,
    TrainingSettings,
    build_network,
    fine_tune_lora,
    load_checkpoint,
    lora,
    save_checkpoint,
    train_score_network,
)
from synthetic import GaussianMixture

OU = sfbench.OrnsteinUhlenbeck()
TINY = TrainingSettings(steps=4, batch=8, validate_every=2, patience=0)


@pytest.mark.slow  # importing diffusers takes seconds
@pytest.mark.parametrize(("shape", "patch"), [((1, 8, 8), 1), ((1, 7, 9), 2), ((3, 6, 6), 1)])
def test_unet_trains_saves_and_adapts(tmp_path, shape, patch):
    options = {"shape": shape, "channels": (4, 8), "layers": 1, "patch": patch}
    dim = int(np.prod(shape))
    x = np.random.default_rng(0).standard_normal((24, dim))
    network = build_network("unet", options, process=OU)
    result = train_score_network(network, x, TINY, process=OU, rng=0)
    save_checkpoint(tmp_path, result.score)
    again = load_checkpoint(tmp_path, process=OU)
    np.testing.assert_array_equal(again.score(x, 0.3), result.score.score(x, 0.3))
    lora = fine_tune_lora(result.score, x, TINY, rank=2, rng=1)
    assert np.any(lora.score.score(x, 0.3) != again.score(x, 0.3))


@pytest.mark.slow
def test_unet_bad_options():
    for options, message in (
        ({"shape": (1, 8, 8), "channels": (6,)}, "multiples of 4"),
        ({"shape": (0, 8, 8)}, "channels, height, width"),
        ({"shape": (1, 8, 8), "patch": 9}, "patch must be"),
    ):
        with pytest.raises(ModelError, match=message):
            build_network("unet", options, process=OU)


def networks(count=2):
    found = []
    for seed in range(count):
        network = build_network("mlp", {"dim": 1, "width": 8, "depth": 1}, process=OU, seed=seed)
        torch.nn.init.normal_(network.outward.weight, generator=torch.Generator().manual_seed(seed))
        found.append(NetworkScore(network, 1, OU))
    return found


def test_average_of_checkpoints():
    first, second = networks()
    x = np.linspace(-2, 2, 7)[:, None]
    np.testing.assert_array_equal(average_checkpoints([first, second], [0, 1]).score(x, 0.2), second.score(x, 0.2))
    merged = average_checkpoints([first, second], [0.25, 0.75])
    expected = 0.25 * first.module.inward.weight + 0.75 * second.module.inward.weight
    torch.testing.assert_close(merged.module.inward.weight, expected)
    same = average_checkpoints([first, first], [0.5, 0.5])
    np.testing.assert_allclose(same.score(x, 0.2), first.score(x, 0.2), rtol=1e-6)
    other = NetworkScore(build_network("mlp", {"dim": 1, "width": 9}, process=OU), 1, OU)
    with pytest.raises(ModelError, match="other names or shapes"):
        average_checkpoints([first, other], [0.5, 0.5])
    with pytest.raises(ModelError, match="sum to 1"):
        average_checkpoints([first, second], [0.5, 0.6])
    with pytest.raises(ModelError, match="parameterisations"):
        average_checkpoints([first, dataclasses.replace(second, parameterisation="epsilon")], [0.5, 0.5])


@pytest.mark.slow
def test_published_fusion_agrees_with_the_quadratic_program():
    laws = [GaussianMixture([1.0], [[-1.0]], 0.5), GaussianMixture([1.0], [[1.0]], 0.5)]
    x = GaussianMixture([1.0], [[-0.4]], 0.5).sample(400, rng=0)
    grid = time_grid(1e-2, 2.0, 8)
    models = [AnalyticScore(law, OU) for law in laws]
    sgd = published_fusion(models, x, process=OU, grid=grid, epochs=200, learning_rate=0.05, rng=0)
    exact = sfbench.fuse(laws, x, process=OU, t_min=1e-2, t_max=2.0, n_nodes=8, rng=0)
    np.testing.assert_allclose(sgd.weights, exact.weights, atol=0.06)
    assert abs(exact.weights[0] - 0.7) < 0.08


@pytest.mark.slow
def test_nearest_mixture_and_training_baselines():
    laws = [GaussianMixture([1.0], [[-2.0]], 0.3), GaussianMixture([1.0], [[1.5]], 0.3)]
    x = GaussianMixture([1.0], [[1.0]], 0.3).sample(60, rng=0)
    gram = sfbench.fuse(laws, x, process=OU, rng=0).gram
    assert nearest(gram) == 1

    def draw(model, n, rng):
        return laws[0 if model is scores[0] else 1].sample(n, rng=rng)

    scores = [AnalyticScore(law, OU) for law in laws]
    mixed = sample_mixture(scores, [0.25, 0.75], 4000, draw, rng=0)
    assert abs((mixed < 0).mean() - 0.25) < 0.03
    with pytest.raises(ModelError, match=r"weights must have shape \(2,\), got \(1,\)"):
        sample_mixture(scores, [0.5], 10, draw)
    candidates = [("mlp", {"dim": 1, "width": w, "depth": 1}) for w in (4, 16)]
    settings = TrainingSettings(steps=60, batch=32, validate_every=20, patience=0)
    best = from_scratch(x, candidates, settings, process=OU, seed=1)
    singles = [from_scratch(x, [c], settings, process=OU, seed=1).best_loss for c in candidates]
    assert best.best_loss == min(singles)
    chosen, tuned = fine_tuned_nearest(networks(), x, gram, settings, rng=0)
    assert chosen == 1
    assert tuned.steps == 60


@pytest.mark.slow
def test_candidates_from_scratch_do_not_share_a_folder(tmp_path):
    x = GaussianMixture([1.0], [[1.0]], 0.3).sample(40, rng=0)
    candidates = [("mlp", {"dim": 1, "width": w, "depth": 1}) for w in (4, 16)]
    best = from_scratch(x, candidates, TINY, process=OU, seed=1, folder=tmp_path)
    assert best.best_loss == from_scratch(x, candidates, TINY, process=OU, seed=1).best_loss
    widths = [load_checkpoint(tmp_path / f"candidate_{i}").module.inward.weight.shape[0] for i in range(2)]
    assert widths == [4, 16]
    again = from_scratch(x, candidates, TINY, process=OU, seed=1, folder=tmp_path)  # from the finished states
    assert again.best_loss == best.best_loss


def test_integer_points_have_the_scores_of_equal_floats():
    [network] = networks(1)
    whole = np.arange(-3, 4)[:, None]
    floats = whole.astype(np.float64)
    for points in (whole, whole.astype(np.int8)):
        np.testing.assert_array_equal(network.score(points, 0.3), network.score(floats, 0.3))
        found = NetworkDivergence(network, None).score_and_divergence(points, 0.3)
        for a, b in zip(found, NetworkDivergence(network, None).score_and_divergence(floats, 0.3), strict=True):
            np.testing.assert_array_equal(a, b)
    assert network.score(floats.astype(np.float32), 0.3).dtype == np.float32
    with pytest.raises(ModelError, match="real numbers, got dtype complex128"):
        network.score(floats + 1j, 0.3)


def test_adapters_start_from_rng(monkeypatch):
    """The first weights of A differ between seeds (B starts at zero), and torch's global generator is left alone."""
    starts = []

    def keep(score, *args, **options):
        named = score.module.named_parameters()
        starts.append(torch.cat([p.detach().reshape(-1) for name, p in named if "lora_A" in name]))
        return train_score_network(score, *args, **options)

    monkeypatch.setattr(lora, "train_score_network", keep)
    [network] = networks(1)
    x = np.linspace(-1, 1, 20)[:, None]
    state = torch.random.get_rng_state()
    tuned = [fine_tune_lora(network, x, TINY, rank=1, rng=seed).score.score(x, 0.3) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(starts[0], starts[1])
    assert not torch.any(starts[0] == starts[2])
    np.testing.assert_array_equal(tuned[0], tuned[1])
