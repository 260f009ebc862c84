"""Figures show what they say, on the axes they are given, with their legends beside the data."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

import sfbench
from sfbench.plots import plot_images, plot_samples
from synthetic import GaussianMixture, SyntheticProblem

OU = sfbench.OrnsteinUhlenbeck()


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    mpl.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def fit(shifted: SyntheticProblem) -> sfbench.FusionResult:
    models = dict(zip(["north", "east", "south"], shifted.auxiliaries, strict=True))
    return sfbench.fuse(models, shifted.target.sample(400, rng=0), process=OU, rng=0)


def line(ax: Any, label: str) -> Any:
    return next(found for found in ax.lines if found.get_label() == label)


def every_figure(fit: sfbench.FusionResult, axes: Any = (None,) * 5) -> Iterator[Any]:
    over_time = sfbench.fuse(fit.score.models, np.ones((20, 5)), process=OU, bins=2, rng=0)
    plane = GaussianMixture([0.5, 0.5], [[-2.0, 0.0], [2.0, 1.0]], 1.0)
    yield fit.plot_weights(ax=axes[0])
    yield fit.plot_losses(ax=axes[1])
    yield fit.plot_losses(np.random.default_rng(0).normal(size=(20, 5)), ax=axes[2])
    yield over_time.plot_weights(ax=axes[3])
    yield plot_samples(plane.sample(100, rng=0), plane, ax=axes[4])


@pytest.mark.slow
def test_axes_in_and_out_and_legends_beside_the_data(fit: sfbench.FusionResult) -> None:
    for ax in every_figure(fit):
        ax.figure.canvas.draw()
        assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1
        assert ax.get_xlabel()
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert len(set(labels)) == len(labels)
    own = pyplot.subplots(1, 6)[1]
    assert all(ax is given for ax, given in zip(every_figure(fit, own), own, strict=False))
    assert fit.plot_gram(ax=own[5]) is own[5]
    with pytest.raises(sfbench.SfbenchError, match="ax must be matplotlib axes, got a ndarray"):
        fit.plot_weights(ax=pyplot.subplots(1, 2)[1])


def test_weights_and_intervals_are_those_of_the_fit(fit: sfbench.FusionResult) -> None:
    ax = fit.plot_weights(truth=[0.2, 0.3, 0.5])
    assert np.array_equal(line(ax, "fitted").get_xdata(), fit.weights)
    assert np.array_equal(line(ax, "truth").get_xdata(), [0.2, 0.3, 0.5])
    drawn = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    assert np.array_equal(drawn, fit.confidence_interval(0.9))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["north", "east", "south"]
    with pytest.raises(sfbench.GramError, match="sum to 1"):
        fit.plot_weights(truth=[0.2, 0.3, 0.6])


def test_losses_of_the_statistics_are_losses_on_the_data(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(4000, rng=0)
    fit = sfbench.fuse(shifted.auxiliaries, x, process=OU, rng=0)
    ax = fit.plot_losses()
    rng = np.random.default_rng(1)
    z = rng.standard_normal(x.shape)
    for node in (0, 9, 15):  # an oracle with noise of its own
        t = float(fit.grid.nodes[node])
        points = OU.alpha(t) * x + OU.sigma(t) * z
        rows = [((OU.sigma(t) * s.score(points, t) + z) ** 2).mean(axis=1) for s in (*fit.score.models, fit.score)]
        for i, row in enumerate(rows[:-1]):
            difference = row - rows[-1]
            error = difference.std() / np.sqrt(len(x))
            assert abs(line(ax, str(i)).get_ydata()[node] - difference.mean()) < 5.0 * error + 1e-6
    likelihood = sfbench.fuse(shifted.auxiliaries[:2], x[:50], process=OU, objective="likelihood")
    with pytest.raises(sfbench.GramError, match="pass rows x"):
        likelihood.plot_losses()


def test_distances_of_scores(fit: sfbench.FusionResult) -> None:
    drawn = fit.plot_gram().images[0].get_array()
    rng, omega = np.random.default_rng(0), fit.statistics.settings.omega  # type: ignore[union-attr]
    points = [rng.normal(size=(1, 5)) for _ in fit.grid.nodes]  # Gaussians of one covariance: equal everywhere
    a, b = ([model.score(x, t) for x, t in zip(points, fit.grid.nodes, strict=True)] for model in fit.score.models[:2])
    square = sum(w * float(((u - v) ** 2).sum()) for w, u, v in zip(omega, a, b, strict=True))
    assert drawn[0, 1] == pytest.approx(np.sqrt(square), rel=1e-9)


def test_weights_over_time_are_steps(reference: SyntheticProblem) -> None:
    x = reference.target.sample(300, rng=0)
    fit = sfbench.fuse(reference.auxiliaries, x, process=OU, bins=3, rng=0)
    ax = fit.plot_weights()
    steps = ax.patches[1].get_data()
    assert np.array_equal(steps.edges, fit.weights.edges)
    assert np.array_equal(steps.values, fit.weights.weights[:, 1])
    assert any(label == "90 % interval" for label in ax.get_legend_handles_labels()[1])
    smooth = sfbench.fuse(reference.auxiliaries, x, process=OU, bins=3, smoothing=0.1, rng=0)
    assert "90 % interval" not in smooth.plot_weights().get_legend_handles_labels()[1]


def test_weighted_points_on_the_line(reference: SyntheticProblem) -> None:
    score = sfbench.FusedScore(reference.auxiliaries, (0.5, 0.5), process=OU)
    drawn = sfbench.sample(score, 2000, steps=16, check_steps=False, rng=0)
    tilt = drawn.x[:, 0] - np.log(np.exp(drawn.x[:, 0]).sum())
    sample = replace(drawn, log_weights=np.where(np.arange(2000) == 7, -np.inf, tilt))  # one trajectory is lost
    sample.x[7] = np.nan
    ax = plot_samples(sample, reference.barycenter((0.5, 0.5)))
    heights = np.array([patch.get_height() for patch in ax.patches])
    assert heights.sum() * ax.patches[0].get_width() == pytest.approx(1.0)
    mean = float(sample.weights @ np.nan_to_num(sample.x[:, 0])) / float(sample.weights.sum())
    middle = np.array([patch.get_x() + 0.5 * patch.get_width() for patch in ax.patches])
    assert (heights @ middle) / heights.sum() == pytest.approx(mean, abs=0.02)
    grid, density = line(ax, "law").get_data()
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.01)


def test_contours_hold_the_shares_that_the_legend_names() -> None:
    law = GaussianMixture([1.0], [[1.0, -1.0]], 1.0)
    ax = plot_samples(law.sample(4000, rng=0), law)
    radii = [np.sqrt(((path.vertices - [1.0, -1.0]) ** 2).sum(axis=1)).mean() for path in ax.collections[0].get_paths()]
    assert np.exp(-0.5 * np.array(radii) ** 2) == pytest.approx([0.05, 0.2, 0.5], abs=0.02)  # mass outside a disc


def test_points_in_more_dimensions_and_data(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(5000, rng=0)
    ax = plot_samples(x, shifted.target, coordinates=(1, 3))
    assert (ax.get_xlabel(), len(line(ax, "sample").get_xdata())) == ("x[1]", 2000)
    assert len(line(ax, "law").get_xdata()) == 2000
    assert len(line(plot_samples(x, x[:7]), "data").get_xdata()) == 7
    for bad in ((0, 5), (0,), 3, ("a", 1)):
        with pytest.raises(sfbench.SfbenchError, match="coordinates"):
            plot_samples(x, coordinates=bad)  # type: ignore[arg-type]
    with pytest.raises(sfbench.SfbenchError, match="law has dimension 2, sample has 5"):
        plot_samples(x, np.ones((3, 2)))
    with pytest.raises(sfbench.NotFiniteError):
        plot_samples(np.full((3, 2), np.nan))


def test_a_grid_of_images() -> None:
    images = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3, 4, 6))
    sheet = plot_images(images, columns=2, value_range=(-1, 1)).images[0].get_array().data
    assert sheet.shape == (3 * 5 + 1, 2 * 7 + 1, 3)
    assert sheet[6:10, 8:14] == pytest.approx(np.moveaxis((images[3] + 1) / 2, 0, -1))
    assert sheet[11:15, 8:14] == pytest.approx(1.0)  # no sixth image
    assert plot_images(images[:, 0].reshape(5, 24), (4, 6)).images[0].get_array().ndim == 2
    for bad, options in (
        (images[:, :2], {}),
        (np.ones((2, 9)), {}),
        (np.ones((2, 9)), {"shape": (2, 5)}),
        (np.ones((0, 1, 2, 2)), {}),
        (images, {"columns": 0}),
        (images, {"value_range": (1.0, 1.0)}),
        (np.full((1, 2, 2), np.inf), {}),
    ):
        with pytest.raises(sfbench.SfbenchError):
            plot_images(bad, **options)


def test_notebooks_show_tables(shifted: SyntheticProblem, fit: sfbench.FusionResult) -> None:
    score = sfbench.FusedScore(shifted.auxiliaries, (0.5, 0.25, 0.25), process=OU)
    sample = sfbench.sample(score, 60, steps=8, check_steps=False, rng=0)
    doubtful = replace(sample, diagnostics=replace(sample.diagnostics, messages=("x < 0 & worse",)))
    for shown, words in (
        (shifted, ("<td>0.5000</td>", "GaussianMixture(m=1, d=5, isotropic)", "target")),
        (doubtful, ("60 points in dimension 5", "warning: x &lt; 0 &amp; worse", "score evaluations")),
        (fit, ("<td>north</td>",)),
    ):
        page = shown._repr_html_()
        assert all(word in page for word in words)
        assert page.count("<td>") == page.count("</td>") > 1
    assert repr(score) == (
        "FusedScore(3 models in dimension 5, weights [0.5  0.25 0.25], OrnsteinUhlenbeck())"  # not the whole networks
    )


@pytest.mark.slow
def test_samples_on_shared_and_used_axes(reference: SyntheticProblem) -> None:
    plane = GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    figure, (left, right) = pyplot.subplots(1, 2, sharex=True, sharey=True)
    plot_samples(plane.sample(50, rng=0), plane, ax=left)
    plot_samples(plane.sample(50, rng=1) + 5.0, ax=right)
    figure.canvas.draw()
    assert right.get_xlim()[1] > 5.0
    assert left.get_xlim() == right.get_xlim()
    figure, ax = pyplot.subplots()
    ax.plot([20.0, 21.0], [0.0, 0.1])
    plot_samples(reference.target.sample(50, rng=0), ax=ax)
    low, high = ax.get_xlim()
    assert low < 0.0
    assert high >= 21.0
    pyplot.close("all")
