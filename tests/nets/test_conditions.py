"""Networks that take a condition, one for all points or one for each; guidance, which is not the score of a law."""

import dataclasses

import numpy as np
import pytest
import torch

import sfbench
from sfbench import ModelError
from sfbench.nets import (
    GuidedScore,
    NetworkScore,
    TrainingError,
    TrainingSettings,
    build_network,
    denoising_loss,
    load_checkpoint,
    save_checkpoint,
    train_score_network,
)
from synthetic import GaussianMixture

OU = sfbench.OrnsteinUhlenbeck()
MEANS = np.array([[-1.0, 0.0], [2.0, 1.0], [0.0, 0.0]])  # of two classes, and of neither
X = np.random.default_rng(0).standard_normal((5, 2))


class Classes(torch.nn.Module):
    """The exact score of N(mean of the class, I) under the Ornstein-Uhlenbeck process; label 2 is not a class."""

    def __init__(self):
        super().__init__()
        self.register_buffer("means", torch.tensor(MEANS))
        self.rows = []

    def forward(self, x, t, class_labels=None):
        self.rows.append(None if class_labels is None else class_labels.dtype)
        labels = torch.full((len(x),), 2) if class_labels is None else class_labels
        return torch.exp(-t)[:, None] * self.means[labels] - x


def conditional(**options):
    return NetworkScore(Classes(), 2, OU, "score", condition_name="class_labels", **options)


def exact(labels, t):
    return np.exp(-t) * MEANS[labels] - X


def test_a_label_for_each_point_or_one_for_all():
    model = conditional(batch=2)
    labels = np.array([0, 1, 2, 1, 0])
    for given in (labels, labels.tolist(), torch.from_numpy(labels), labels.astype(np.int8)):
        np.testing.assert_allclose(model.score(X, 0.3, given), exact(labels, 0.3), rtol=1e-12)
    for given in (1, np.int64(1), torch.tensor(1)):
        np.testing.assert_allclose(model.score(X, 0.3, given), exact([1] * 5, 0.3), rtol=1e-12)
        np.testing.assert_allclose(model.given(given).score(X, 0.3), exact([1] * 5, 0.3), rtol=1e-12)
    np.testing.assert_allclose(model.score(X, 0.3), exact([2] * 5, 0.3), rtol=1e-12)  # the module's own default
    assert set(model.module.rows) == {torch.int64, None}
    scores, products = model.score_and_projections(X, 0.3, np.ones((1, 5, 2)), labels)
    np.testing.assert_allclose(scores, exact(labels, 0.3), rtol=1e-12)
    np.testing.assert_allclose(products, -2.0)


def test_embeddings_come_in_the_networks_precision():
    class Embedded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x, t, encoder_hidden_states):
            self.seen = encoder_hidden_states
            return self.layer(encoder_hidden_states) - x

    model = NetworkScore(Embedded(), 2, OU, "score", condition_name="encoder_hidden_states")
    each = np.random.default_rng(0).standard_normal((5, 3))
    found = model.score(X, 0.3, each)
    assert model.module.seen.dtype == torch.float32
    np.testing.assert_allclose(found[2], model.given(each[2]).score(X, 0.3)[2], rtol=1e-5)
    with pytest.raises(ModelError, match=r"Embedded failed.*missing 1 required positional argument: 'encoder_hidden"):
        model.score(X, 0.3)


@pytest.mark.slow
def test_a_class_can_be_fused_and_sampled_like_any_model():
    models = [conditional(condition=c) for c in (0, 1)]
    x = np.array([0.25, 0.75]) @ MEANS[:2] + np.random.default_rng(1).standard_normal((2000, 2))
    fit = sfbench.fuse(models, x, process=OU, rng=0)
    np.testing.assert_allclose(fit.weights, [0.25, 0.75], atol=0.05)
    drawn = sfbench.sample(fit, 2000, steps=50, rng=0).x
    np.testing.assert_allclose(drawn.mean(axis=0), fit.weights @ MEANS[:2], atol=0.12)


def test_guidance():
    model = conditional()
    labels = np.array([0, 1, 0, 1, 1])
    for scale in (0.0, 0.5, 1.0, 3.0):
        guided = GuidedScore(model, scale, null_condition=2)
        expected = exact([2] * 5, 0.3) + scale * (exact(labels, 0.3) - exact([2] * 5, 0.3))
        np.testing.assert_allclose(guided.score(X, 0.3, labels), expected, rtol=1e-12)
        assert isinstance(guided.score(torch.from_numpy(X), 0.3, labels), torch.Tensor)
        assert ("not the score of a diffusion" in guided.law) == (scale != 1.0)
    assert (guided.dim, guided.process, guided.t_range) == (2, OU, None)
    fixed = GuidedScore(model.given(1), 3.0, null_condition=2)
    np.testing.assert_allclose(fixed.score(X, 0.3), guided.score(X, 0.3, [1] * 5), rtol=1e-12)


def test_bad_conditions():
    model = conditional()
    plain = NetworkScore(Classes(), 2, OU, "score")
    for call, message in (
        (lambda: plain.score(X, 0.3, 1), "takes no condition; NetworkScore.condition_name='class_labels'"),
        (lambda: model.score(X, 0.3, [0, 1]), "one row for each of the 5 points, got 2"),
        (lambda: model.score(X, 0.3, ["a"] * 5), "condition must hold real numbers"),
        (
            lambda: model.score(X, 0.3, [0, 1, 9, 0, 1]),
            "Classes failed, called with .*class_labels=.5,. int64: IndexError",
        ),
        (lambda: GuidedScore(plain, 2.0, 2), "a NetworkScore with a condition_name"),
        (lambda: GuidedScore(model, np.nan, 2), "scale must be finite"),
        (lambda: GuidedScore(model, 2.0, None), "null_condition must be"),
        (lambda: GuidedScore(model, 2.0, 2).score(X, 0.3), "guidance needs a condition"),
    ):
        with pytest.raises(ModelError, match=message):
            call()
    assert dataclasses.replace(model, condition=1).condition == 1


# ---------------------------------------------------------------------- networks of this package
def labelled(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return np.where(labels, 1.5, -1.0)[:, None] + 0.3 * rng.standard_normal((n, 1)), labels


@pytest.mark.slow
def test_a_network_trained_with_labels_knows_both_classes_and_their_mixture(tmp_path):
    """Mean of sigma^2 |s_theta - s|^2 over noise levels, by label; the wrong label's score is far off."""
    x, labels = labelled(4000, 0)
    network = build_network("mlp", {"dim": 1, "width": 48, "depth": 2, "classes": 2}, process=OU)
    settings = TrainingSettings(steps=800, batch=128, patience=0, learning_rate=3e-3, ema=0.99)
    model = train_score_network(network, x, settings, process=OU, labels=labels, folder=tmp_path, rng=1).score
    again = load_checkpoint(tmp_path)
    np.testing.assert_array_equal(again.score(x[:5], 0.3, labels[:5]), model.score(x[:5], 0.3, labels[:5]))
    parts = [GaussianMixture([1.0], [[mean]], 0.09) for mean in (-1.0, 1.5)]
    laws = [*parts, GaussianMixture([0.5, 0.5], [[-1.0], [1.5]], 0.09)]

    def error(label, law):
        gaps = []
        for t in OU.horizon * np.geomspace(1e-3, 1.0, 8):
            noisy, _ = OU.perturb(law.sample(1000, rng=2), float(t), rng=3)
            truth = sfbench.AnalyticScore(law, OU).score(noisy, float(t))
            gaps.append(float(OU.sigma(t)) ** 2 * np.mean((model.score(noisy, float(t), label) - truth) ** 2))
        return np.mean(gaps)

    assert max(error(0, laws[0]), error(1, laws[1])) < 0.01
    assert error(None, laws[2]) < 0.05  # a tenth of the steps is without a label
    assert min(error(1, laws[0]), error(0, laws[1])) > 0.3
    loss, stderr = denoising_loss(model, *labelled(500, 5)[:1], labels=labelled(500, 5)[1])
    assert loss + 3 * stderr < denoising_loss(model, labelled(500, 5)[0])[0]


@pytest.mark.slow  # importing diffusers takes seconds
def test_u_nets_take_labels(tmp_path):
    options = {"shape": (1, 4, 4), "channels": (4, 8), "classes": 3}
    network = build_network("unet", options, process=OU)
    x = np.random.default_rng(0).standard_normal((12, 16))
    settings = TrainingSettings(steps=4, batch=8, validate_every=2, patience=0)
    model = train_score_network(network, x, settings, process=OU, labels=np.arange(12) % 3, rng=0).score
    save_checkpoint(tmp_path, model)
    again = load_checkpoint(tmp_path)
    assert again.condition_name == "labels"
    np.testing.assert_array_equal(again.score(x, 0.3, [1] * 12), model.score(x, 0.3, 1))
    np.testing.assert_array_equal(model.score(x, 0.3), model.score(x, 0.3, 3))
    assert np.any(model.score(x, 0.3, 0) != model.score(x, 0.3, 1))
    assert GuidedScore(model.given(1), 2.0).null_condition == 3


def test_training_with_labels_is_as_reproducible_as_without():
    x, labels = labelled(60, 0)
    settings = TrainingSettings(steps=6, batch=16, validate_every=3, patience=0)

    def train(**options):
        network = build_network("mlp", {"dim": 1, "width": 8, "depth": 1, "classes": 2}, process=OU)
        result = train_score_network(network, x, settings, process=OU, rng=3, **options)
        return np.concatenate([p.detach().numpy().ravel() for p in result.score.module.parameters()])

    np.testing.assert_array_equal(train(labels=labels), train(labels=labels.tolist()))
    assert np.any(train(labels=labels) != train(labels=1 - labels))
    assert np.any(train() != train(labels=labels))
    for options, message in (
        ({"labels": labels[:3]}, "labels of x must be 60 whole numbers"),
        ({"labels": labels - 1}, "of at least 0"),
        ({"labels": labels * 0.5}, "whole numbers"),
        ({"labels": labels, "validation": x}, "go together"),
        ({"labels": labels, "validation": x, "validation_labels": [0]}, "labels of validation must be 60"),
    ):
        with pytest.raises(TrainingError, match=message):
            train(**options)
    plain = build_network("mlp", {"dim": 1, "width": 8}, process=OU)
    with pytest.raises(TrainingError, match="labels need a network that takes them"):
        train_score_network(plain, x, settings, process=OU, labels=labels)
    with pytest.raises(ModelError, match=r"ScoreMLP failed.*IndexError"):
        train(labels=labels + 5)
    with pytest.raises(ModelError, match="classes must be between"):
        build_network("mlp", {"dim": 1, "classes": -1}, process=OU)


def test_a_network_that_needs_a_condition_says_which_argument_gives_it():
    class Needs(torch.nn.Module):
        def forward(self, x, t, y):
            return x * y[:, None]

    model = NetworkScore(Needs(), 2, OU, "score", condition_name="y")
    assert model.score(X, 0.5, condition=np.ones(5)).shape == X.shape
    with pytest.raises(ModelError, match="its 'y' was not given: pass condition="):
        model.score(X, 0.5)
