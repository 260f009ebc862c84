"""Per-row conditions in fits, losses and samples; items of any shape; guidance says that it has no law."""

from typing import Any

import numpy as np
import pytest
import torch

import sfbench
from sfbench import GramError, ModelError, SfbenchError
from sfbench.nets import GuidedScore, NetworkScore
from sfbench.sampling import TrustWarning
from sfbench.scores.conditions import ConditionRows, takes_condition
from synthetic import GaussianMixture

from ..common import Foreign

OU = sfbench.OrnsteinUhlenbeck()
MEANS = np.array([[-1.0, 0.0, 0.5, 0.0], [2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
rng = np.random.default_rng(0)
LABELS = rng.integers(0, 2, 900)
OFFSETS = (np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0, 0.0]))
TRUE = np.array([0.3, 0.7])
X = MEANS[LABELS] + TRUE @ np.stack(OFFSETS) + rng.standard_normal((900, 4))


class Conditional:
    """The exact score of N(mean of the class + offset, I), with labels (n,) or embeddings (n, 4); none is class 2."""

    dim, process = 4, OU

    def __init__(self, offset: np.ndarray) -> None:
        self.offset, self.sizes = offset, []

    def score(self, x: np.ndarray, t: float, condition: Any = None) -> np.ndarray:
        means = MEANS[[2]] if condition is None else condition if condition.ndim == 2 else MEANS[condition]
        self.sizes.append(None if condition is None else len(condition))
        return np.exp(-t) * (means + self.offset) - x


class Module(torch.nn.Module):
    """The same as a module of images (1, 2, 2)."""

    def __init__(self, offset: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("means", torch.tensor(MEANS + offset))

    def forward(self, x: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        labels = torch.full((len(x),), 2) if label is None else label
        return (torch.exp(-t)[:, None] * self.means[labels]).reshape(x.shape) - x


def networks() -> list[NetworkScore]:
    return [NetworkScore(Module(o), (1, 2, 2), OU, "score", condition_name="label") for o in OFFSETS]


def plain() -> list[Conditional]:
    return [Conditional(o) for o in OFFSETS]


@pytest.mark.slow
@pytest.mark.parametrize("make", [plain, networks])
def test_labels_of_rows_find_the_weights(make: Any) -> None:
    found = sfbench.fuse(make(), X, process=OU, condition=LABELS, rng=0)
    np.testing.assert_allclose(found.weights, TRUE, atol=0.07)
    assert found.adequacy is not None
    assert found.adequacy.p_value > 1e-3
    with pytest.warns(sfbench.FitWarning, match="the fit denoises these data worse than a linear predictor"):
        blind = sfbench.fuse(make(), X, process=OU, rng=0)
    assert blind.adequacy is not None
    assert blind.adequacy.p_value < 1e-6
    with pytest.warns(sfbench.FitWarning, match="the fit denoises these data worse"):
        wrong = sfbench.fuse(make(), X, process=OU, condition=1 - LABELS, rng=0)
    assert wrong.adequacy is not None
    assert wrong.adequacy.fused > 1.1 * found.adequacy.fused


@pytest.mark.slow
def test_one_path_for_arrays_and_tensors_and_both_kinds_of_models() -> None:
    host = sfbench.fuse(plain(), X, process=OU, condition=LABELS, n_noise=2, rng=0)
    tensors = sfbench.fuse(
        networks(), torch.from_numpy(X), process=OU, condition=torch.from_numpy(LABELS), n_noise=2, rng=0
    )
    np.testing.assert_allclose(host.gram.G, tensors.gram.G, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(host.gram.b, tensors.gram.b, rtol=1e-9, atol=1e-9)
    embedded = sfbench.fuse(plain(), X, process=OU, condition=MEANS[LABELS], n_noise=2, rng=0)
    np.testing.assert_allclose(host.gram.b, embedded.gram.b, rtol=1e-12)


def test_conditions_stay_with_their_rows() -> None:
    """Sorting data with their labels only permutes the noise; data sorted without them are another problem."""
    order = np.argsort(LABELS)
    found = sfbench.fuse(plain(), X[order], process=OU, condition=LABELS[order], rng=0)
    np.testing.assert_allclose(found.weights, TRUE, atol=0.07)
    rows = ConditionRows(np.arange(10))
    rows.select(4, 7)
    np.testing.assert_array_equal(rows.of(6), [4, 5, 6, 4, 5, 6])
    with pytest.raises(ModelError, match="not a multiple"):
        rows.of(4)


@pytest.mark.slow
def test_one_label_for_all_is_the_model_given_that_label() -> None:
    x = X[LABELS == 1]
    one = sfbench.fuse(networks(), x, process=OU, condition=1, rng=0)
    given = sfbench.fuse([m.given(1) for m in networks()], x, process=OU, rng=0)
    np.testing.assert_array_equal(one.weights, given.weights)


def test_losses_under_conditions() -> None:
    fit = sfbench.fuse(plain(), X, process=OU, condition=LABELS, rng=0)
    right, wrong = fit.losses(X, condition=LABELS), fit.losses(X, condition=1 - LABELS)
    assert right.losses[0] < right.losses[1:].min()
    assert wrong.losses[0] > right.losses[0]
    drawn = sfbench.compare({"fused": fit}, X[:200], condition=LABELS[:200], n_samples=100)
    assert drawn.distances[0][0] < 0.1


@pytest.mark.parametrize("sampler", ["fused", "ode", "corrected"])
def test_each_point_is_drawn_under_its_label(sampler: str) -> None:
    score = sfbench.FusedScore(plain(), TRUE, process=OU)
    n = 1200 if sampler == "corrected" else 600
    labels = np.arange(n) % 2
    drawn = sfbench.sample(score, n, sampler, condition=labels, steps=40, check_steps=False, rng=0)
    assert np.exp(drawn.log_weights).sum() == pytest.approx(1.0)
    for label in (0, 1):
        mean = np.average(drawn.x[labels == label], axis=0, weights=drawn.weights[labels == label])
        np.testing.assert_allclose(mean, MEANS[label] + TRUE @ np.stack(OFFSETS), atol=0.25)
    again = sfbench.sample(score, n, sampler, condition=labels, steps=40, check_steps=False, rng=0)
    np.testing.assert_array_equal(drawn.x, again.x)


@pytest.mark.slow
def test_items_have_the_shape_of_images() -> None:
    images = X.reshape(-1, 1, 2, 2)
    fit = sfbench.fuse(networks(), images, process=OU, condition=LABELS, rng=0)
    flat = sfbench.fuse(networks(), X, process=OU, condition=LABELS, rng=0)
    np.testing.assert_array_equal(fit.weights, flat.weights)
    drawn = sfbench.sample(fit, 6, condition=[0, 1, 0, 1, 1, 1], steps=4, check_steps=False, rng=0)
    assert drawn.items.shape == (6, 1, 2, 2)
    np.testing.assert_array_equal(drawn.items.reshape(6, 4), drawn.x)
    tensors = sfbench.sample(fit, 6, condition=[0, 1, 0, 1, 1, 1], steps=4, device="cpu", check_steps=False, rng=0)
    assert isinstance(tensors.items, torch.Tensor)
    assert tensors.items.shape == (6, 1, 2, 2)
    vectors = sfbench.sample(sfbench.FusedScore(plain(), TRUE, process=OU), 6, steps=4, check_steps=False, rng=0)
    assert vectors.items is vectors.x


def test_guidance_is_named_in_the_law_of_samples() -> None:
    guided = GuidedScore(networks()[0], 3.0, null_condition=2)
    drawn = sfbench.sample(guided, 8, condition=1, steps=4, check_steps=False, rng=0)
    assert "classifier-free guidance at scale 3 is not the score of a diffusion" in drawn.law
    plain_law = sfbench.sample(networks()[0], 8, condition=1, steps=4, check_steps=False, rng=0).law
    assert "guidance" not in plain_law


def test_messages_of_samples_name_the_condition() -> None:
    score = sfbench.FusedScore(plain(), TRUE, process=OU)
    with pytest.warns(TrustWarning, match="under the condition of row [01]: "):
        drawn = sfbench.sample(score, 400, condition=np.arange(400) % 2, steps=2, rng=0)
    assert drawn.diagnostics.messages


@pytest.mark.filterwarnings("ignore:the fit denoises these data worse")
def test_a_wrong_wiring_is_found_under_a_condition() -> None:
    law = GaussianMixture([0.5, 0.5], [[-0.8, -0.8], [0.8, 0.8]], 0.01)

    class Signed:
        dim, process = 2, OU

        def score(self, x: np.ndarray, t: float, condition: Any = None) -> np.ndarray:
            return -Foreign(law, OU).score(x - condition[:, None] * np.exp(-t), t)

    labels = np.arange(200) % 3
    x = law.sample(200, rng=0) + labels[:, None]
    with pytest.warns(sfbench.FitWarning, match="the sign turned"):
        sfbench.fuse([Signed(), Foreign(law, OU)], x, process=OU, condition=labels, rng=0)


def test_bad_conditions() -> None:
    laws = [GaussianMixture([1.0], [m], 1.0) for m in MEANS[:2]]
    fit = sfbench.fuse(plain(), X[:50], process=OU, condition=LABELS[:50], rng=0)
    loader = torch.utils.data.DataLoader(torch.from_numpy(X), batch_size=20)
    for call, kind, message in (
        (lambda: sfbench.fuse(laws, X, process=OU, condition=1), ModelError, "no model takes one"),
        (lambda: sfbench.fuse(plain(), X, process=OU, condition=LABELS[:3]), GramError, "one row for each of the 900"),
        (lambda: sfbench.fuse(plain(), X, process=OU, condition=["a"] * 900), GramError, "labels or numbers"),
        (lambda: sfbench.fuse(plain(), loader, process=OU, condition=LABELS), GramError, "known order"),
        (
            lambda: sfbench.fuse(laws, X, process=OU, objective="likelihood", condition=1),
            GramError,
            "'likelihood' has no condition",
        ),
        (lambda: sfbench.sample(fit, 5, condition=[0, 1]), SfbenchError, "one row for each of the 5"),
        (lambda: sfbench.sample(laws[0], 5, process=OU, condition=1), ModelError, "no model takes one"),
        (lambda: sfbench.sample(fit, 2000, condition=np.arange(2000)), SfbenchError, "2000 different conditions"),
        (lambda: sfbench.sample(fit, 2, condition=[np.nan, 0.0]), SfbenchError, "finite"),
    ):
        with pytest.raises(kind, match=message):
            call()
    assert not takes_condition(NetworkScore(Module(OFFSETS[0]), (1, 2, 2), OU, "score"))
    assert not takes_condition(object())


@pytest.mark.filterwarnings("ignore:misfit")
def test_models_that_take_none_are_asked_without() -> None:
    models = [Conditional(OFFSETS[0]), Foreign(GaussianMixture([1.0], [MEANS[1] + OFFSETS[1]], 1.0), OU)]
    found = sfbench.fuse(models, X, process=OU, condition=LABELS, rng=0)
    assert found.weights.sum() == pytest.approx(1.0)
    assert set(models[0].sizes[-4:]) != {None}
