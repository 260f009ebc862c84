"""Losses of models on the same rows and noise: against exact losses, with teeth, and for every kind of model."""

import numpy as np
import pytest

import sfbench
from synthetic import GaussianMixture, SyntheticProblem

from ..common import Foreign

OU = sfbench.OrnsteinUhlenbeck()


def test_the_loss_of_the_exact_score_of_a_gaussian_is_the_linear_predictor() -> None:
    law = GaussianMixture([1.0], np.zeros((1, 3)), 4.0)
    found = sfbench.compare({"exact": law}, law.sample(4000, rng=0), process=OU)
    assert abs(found.losses[0] - found.linear.mean()) < 4 * found.stderr[0]
    variance = 4.0 * OU.alpha(found.times) ** 2  # without the data's own variance
    exact = variance / (variance + OU.sigma(found.times) ** 2)
    assert np.allclose(found.by_time[0], exact, atol=0.03)


def test_the_right_model_wins_and_differences_are_sharper_than_losses(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(500, rng=1)
    fit = sfbench.fuse(shifted.auxiliaries, shifted.target.sample(500, rng=0), process=OU, rng=0)
    found = fit.losses(x)
    assert found.names == ("fused", "0", "1", "2", "equal weights")
    assert found.losses.argmin() == 0
    differences = found.differences()
    assert (differences[1:4, 1] > 0).all()  # each auxiliary is worse, beyond its interval
    assert differences[0].tolist() == [0.0, 0.0, 0.0]
    half = differences[4, 2] - differences[4, 0]
    assert half < 0.5 * found.stderr[4]
    for part in ("fused", "equal weights", "/ linear"):
        assert part in repr(found)
        assert part in found._repr_html_()


def test_one_row_has_no_error(shifted: SyntheticProblem) -> None:
    fit = sfbench.fuse(shifted.auxiliaries, shifted.target.sample(1, rng=0), process=OU, rng=0, check_models=False)
    assert "too few rows" in fit.summary()
    assert "of a linear predictor's" not in fit.summary()
    one = repr(fit.losses(shifted.target.sample(1, rng=1)))
    assert "one row: error not known" in one
    assert "nan" not in one


def test_a_wrong_sign_is_worse_than_predicting_nothing(shifted: SyntheticProblem) -> None:
    class Wrong:
        dim, process = 5, OU

        def score(self, x: np.ndarray, t: float) -> np.ndarray:
            return -Foreign(shifted.auxiliaries[0], OU).score(x, t)

    found = sfbench.compare({"right": shifted.target, "wrong": Wrong()}, shifted.target.sample(100, rng=0), process=OU)
    assert found.losses[0] < 1.0 < found.losses[1]


def test_networks_that_fits_share_are_evaluated_once(shifted: SyntheticProblem) -> None:
    calls = []

    class Counting:
        dim, process = 5, OU

        def score(self, x: np.ndarray, t: float) -> np.ndarray:
            calls.append(len(x))
            return -x

    model = Counting()
    both = sfbench.FusedScore([model, shifted.auxiliaries[0]], [0.5, 0.5], process=OU)
    sfbench.compare({"a": model, "b": both}, shifted.target.sample(10, rng=0), n_times=3)
    assert calls == [20, 20, 20]


def test_samples_are_measured_on_request(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(200, rng=0)
    found = sfbench.compare({"right": shifted.target, "off": shifted.auxiliaries[0]}, x, process=OU, n_samples=200)
    assert found.distances[0][0] < found.distances[1][0]
    assert found.to_dict()["off"]["energy_distance"] == found.distances[1][0]


def test_what_cannot_be_compared_is_refused(shifted: SyntheticProblem) -> None:
    a, x = shifted.auxiliaries[0], shifted.target.sample(4, rng=0)
    other = sfbench.AnalyticScore(a, sfbench.VariancePreserving())
    with pytest.raises(sfbench.ModelError, match="mapping"):
        sfbench.compare([a], x)  # type: ignore[arg-type]
    with pytest.raises(sfbench.ModelError, match="different processes"):
        sfbench.compare({"a": sfbench.AnalyticScore(a, OU), "b": other}, x)
    with pytest.raises(sfbench.ModelError, match="dimensions"):
        sfbench.compare({"a": a}, np.zeros((4, 3)), process=OU)
    with pytest.raises(sfbench.ModelError, match="does not vary"):
        sfbench.compare({"a": a}, np.zeros((4, 5)), process=OU)
    with pytest.raises(sfbench.ModelError, match="reference"):
        sfbench.compare({"a": a}, x, process=OU).differences("z")


def test_the_figure_has_a_line_for_each_model(shifted: SyntheticProblem) -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    found = sfbench.compare(
        {"a": shifted.target, "b": shifted.auxiliaries[0]}, shifted.target.sample(20, rng=0), process=OU
    )
    assert found.plot(ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "linear predictor"]


def test_laws_are_taken_under_the_process_that_the_others_say(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(100, rng=0)
    fit = sfbench.fuse(shifted.auxiliaries, x, process=OU, rng=0)
    mixed = sfbench.compare({"law": shifted.target, "fit": fit}, x)
    assert np.array_equal(
        mixed.losses, sfbench.compare({"law": shifted.target, "fit": fit.score}, x, process=OU).losses
    )
    with pytest.raises(sfbench.ModelError, match="does not say its forward process"):
        sfbench.compare({"law": shifted.target}, x)
    with pytest.raises(sfbench.ProcessMismatchError):
        sfbench.compare({"fit": fit}, x, process=sfbench.VarianceExploding(8.0))
