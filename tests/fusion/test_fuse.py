"""`fuse`: options, errors, seeds, warnings in plain words, the test for window bias and its false alarms."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench.fusion.window_bias import window_bias
from sfbench.statistics.nodes import rows_to_keep
from solvers import Candidate, get_solver
from solvers.cvxpy_conic import Cvxpy
from synthetic import SyntheticProblem, make_problem

PROCESS = sfbench.OrnsteinUhlenbeck()


@pytest.fixture(scope="module")
def paper() -> SyntheticProblem:
    return make_problem("paper_mixture_1d", scale=6.0, target="barycenter")


@pytest.fixture(scope="module")
def shifted() -> SyntheticProblem:
    return make_problem("shifted_gaussians", k=4, d=8, rng=0)


def fit(problem: SyntheticProblem, n: int = 400, seed: int = 0, **options: Any) -> sfbench.FusionResult:
    x = problem.target.sample(n, rng=seed)
    return sfbench.fuse(problem.auxiliaries, x, **{"process": PROCESS, "rng": seed, **options})


# ------------------------------------------------------------------ results
@pytest.mark.parametrize("make", [lambda: 7, lambda: np.random.default_rng(7), lambda: np.random.SeedSequence(7)])
def test_a_seed_repeats_bit_for_bit(paper: SyntheticProblem, make: Any) -> None:
    first, second = (fit(paper, rng=make()) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.gram.G, second.gram.G)
    for method in ("profile", "bootstrap"):
        assert np.array_equal(first.confidence_interval(method=method), second.confidence_interval(method=method))
    assert not np.array_equal(first.weights, fit(paper, rng=8).weights)


def test_halves_of_the_window_add_up_to_one_pass(shifted: SyntheticProblem) -> None:
    """The statistics of a fit are those of a single pass over the whole window with the same noise."""
    generator = np.random.default_rng(3)
    result = fit(shifted, estimator="dsm", rng=copy.deepcopy(generator))
    settings = sfbench.GramSettings(PROCESS, result.grid, "dsm")
    whole = sfbench.score_gram(shifted.auxiliaries, shifted.target.sample(400, rng=0), settings, rng=generator)
    assert np.allclose(result.gram.G, whole.G, rtol=1e-12)
    assert np.allclose(result.gram.b, whole.b, rtol=1e-11)
    assert result.gram.objective == whole.objective


@pytest.mark.parametrize("n_nodes", [1, 2, 5, 16])
def test_any_number_of_nodes(paper: SyntheticProblem, n_nodes: int) -> None:
    result = fit(paper, n_nodes=n_nodes)
    assert result.solver.converged
    assert len(result.grid) == n_nodes
    assert (result.window_bias is None) == (n_nodes == 1)


@pytest.mark.parametrize(
    "solver", ["active_set", "piqp", "daqp", "cvxpy", "projected_gradient", get_solver("clarabel")]
)
def test_solvers_by_name_and_by_object_agree(shifted: SyntheticProblem, solver: Any) -> None:
    assert np.allclose(fit(shifted, solver=solver).weights, fit(shifted).weights, atol=1e-4)


def test_extra_constraints_reach_the_fit(shifted: SyntheticProblem) -> None:
    capped = fit(shifted, solver=Cvxpy(constraints=lambda w: [w <= 0.3]), tol=1e-7)
    assert capped.weights.max() <= 0.3 + 1e-7


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_samples_than_auxiliaries(shifted: SyntheticProblem, n: int) -> None:
    result = fit(shifted, n=n)
    assert result.weights.sum() == pytest.approx(1.0)
    low, high = result.confidence_interval().T
    assert np.all((low <= result.weights) & (result.weights <= high))
    if n == 1:
        assert np.array_equal(result.confidence_interval(), np.tile([0.0, 1.0], (4, 1)))


def test_one_auxiliary_needs_no_fit(paper: SyntheticProblem) -> None:
    result = sfbench.fuse(paper.auxiliaries[:1], paper.target.sample(50, rng=0), process=PROCESS, rng=0)
    assert result.weights.tolist() == [1.0]
    assert result.confidence_interval().tolist() == [[1.0, 1.0]]
    assert not result.warnings
    assert "weights[0] = 1.0000" in result.summary()


def test_weights_one_zero_return_model_zero_exactly(paper: SyntheticProblem) -> None:
    x = paper.auxiliaries[0].sample(3000, rng=0)
    result = sfbench.fuse(paper.auxiliaries, x, process=PROCESS, rng=0)
    assert result.weights[0] == pytest.approx(1.0, abs=0.02)


def test_memory_for_intervals_does_not_grow_with_the_number_of_auxiliaries() -> None:
    assert rows_to_keep(2, 2) == 4096
    for k in (50, 200, 360):
        assert 8 <= rows_to_keep(k, 2) <= 2**21 // k**2


# ------------------------------------------------------------------ refusals
@dataclass(frozen=True)
class Stops:
    """A solver that gives up."""

    name = "stops"
    requires = "quadratic"

    def solve(self, objective: Any, *, tol: float, max_iter: Any, start: Any, rng: Any) -> Candidate:
        return Candidate(np.full(objective.dim, 1.0 / objective.dim), 1, exhausted=True)


def test_uncertified_weights_raise_unless_asked_for(shifted: SyntheticProblem) -> None:
    with pytest.raises(sfbench.InexactError, match=r"solver 'stops' left a duality gap .* allow_inexact=True"):
        fit(shifted, solver=Stops())
    with pytest.warns(sfbench.FitWarning, match="not certified"):
        result = fit(shifted, solver=Stops(), allow_inexact=True)
    assert not result.solver.converged
    assert "the weights are not certified: duality gap" in result.summary()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"solver": "activeset"}, ValueError, "did you mean 'active_set'"),
        ({"solver": None}, TypeError, "solver must be a name"),
        ({"tol": 0.0}, ValueError, "tol must be positive"),
        ({"t_min": 0.0}, ValueError, "0 < t_min"),
        ({"t_min": 2.0, "t_max": 1.0}, ValueError, "t_min <= t_max"),
        ({"n_nodes": 0}, ValueError, "n_nodes must be an integer of at least 1"),
        ({"n_noise": 0}, ValueError, "n_noise must be an integer of at least 1"),
        ({"estimator": "mle"}, ValueError, "unknown estimator 'mle'"),
        ({"weighting": "flat"}, ValueError, "unknown weighting 'flat'"),
        ({"objective": "map"}, ValueError, "unknown objective 'map'"),
        ({"process": None}, ValueError, "process must be"),
    ],
)
def test_bad_options_are_named(
    paper: SyntheticProblem, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(paper, **options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 1)), "data are empty"),
        (np.zeros(5), r"data\[:, None\]"),
        (np.zeros((5, 2)), "models live in 1 dimensions, data in 2"),
        (np.array([[0.0], [np.nan]]), r"data\[1, 0\] is nan"),
        (np.array([["a"]]), "real numbers"),
    ],
)
def test_bad_data_are_named(paper: SyntheticProblem, x: Any, message: str) -> None:
    with pytest.raises(sfbench.SfbenchError, match=message):
        sfbench.fuse(paper.auxiliaries, x, process=PROCESS)


# ------------------------------------------------------------------ what the summary says
def test_summary_has_weights_intervals_certificate_and_conditioning(shifted: SyntheticProblem) -> None:
    result = fit(shifted, n=2000)
    text = result.summary(0.8)
    for i, (w, (low, high)) in enumerate(zip(result.weights, result.confidence_interval(0.8), strict=True)):
        assert f"weights[{i}] = {w:.4f}   80% interval [{low:.4f}, {high:.4f}]" in text
    for part in (
        "optimal: yes",
        "(solver daqp)",
        "precise: ",
        "rank 3 of 3 (effective 3.0",
        "at most",
        "could explain",
    ):
        assert part in text
    assert "warning" not in text
    assert "gap=" in repr(result)


def test_share_explained_is_between_zero_and_one_and_bounds_the_truth(paper: SyntheticProblem) -> None:
    result = fit(paper, n=3000)
    population = sfbench.population_gram(paper, process=PROCESS, grid=result.grid)
    equal = np.array([0.5, 0.5])
    true_share = 1.0 - population.value(result.weights) / population.value(equal)
    assert true_share <= result.explained() + 0.05
    assert 0.0 <= result.explained() <= 1.0
    flat = sfbench.fuse([paper.auxiliaries[0]] * 2, paper.target.sample(20, rng=0), process=PROCESS, rng=0)
    assert flat.explained() == 1.0


def test_duplicates_are_named_and_share_their_weight(paper: SyntheticProblem) -> None:
    first, second = paper.auxiliaries
    x = paper.target.sample(500, rng=0)
    result = sfbench.fuse([first, second, first], x, process=PROCESS, rng=0)
    assert any("not unique: auxiliaries 0, 2 coincide" in text for text in result.warnings)
    assert result.weights[0] == pytest.approx(result.weights[2], abs=1e-12)
    alone = sfbench.fuse([first, second], x, process=PROCESS, rng=0)
    assert 2 * result.weights[0] == pytest.approx(alone.weights[0], abs=1e-9)


def test_nearly_equal_auxiliaries_are_named(shifted: SyntheticProblem) -> None:
    twin = shifted.auxiliaries[1].affine(1.0, 1e-5)
    x = shifted.target.sample(500, rng=0)
    result = sfbench.fuse([*shifted.auxiliaries, twin], x, process=PROCESS, rng=0)
    assert any("auxiliaries 1, 4 are nearly collinear" in text for text in result.warnings)


def test_unused_auxiliaries_and_outliers_are_named(paper: SyntheticProblem, shifted: SyntheticProblem) -> None:
    x = shifted.auxiliaries[0].sample(500, rng=0)
    beyond = 2 * x - shifted.auxiliaries[1].means[0]  # farther from model 1 than model 0 is
    result = sfbench.fuse(shifted.auxiliaries[:2], beyond, process=PROCESS, rng=0)
    assert result.weights.tolist() == [1.0, 0.0]
    assert any(text.startswith("weight at the boundary for auxiliary 1: it does not help") for text in result.warnings)
    assert result.confidence_interval().tolist() == [[1.0, 1.0], [0.0, 0.0]]
    x = paper.target.sample(500, rng=0)
    x[17] = 300.0
    spoilt = sfbench.fuse(paper.auxiliaries, x, process=PROCESS, rng=0)
    assert any("sample 17 carries" in text for text in spoilt.warnings)


# ------------------------------------------------------------------ window bias
def has_window_bias(result: sfbench.FusionResult) -> bool:
    return any(text.startswith("window bias: t < ") for text in result.warnings)


@pytest.mark.slow
@pytest.mark.parametrize("n", [256, 2000])
@pytest.mark.parametrize("estimator", ["antithetic", "dsm"])
def test_no_window_bias_where_pooling_and_noise_commute(n: int, estimator: Any) -> None:
    problem = make_problem("shifted_gaussians", k=3, d=4, rng=0)
    assert not any(has_window_bias(fit(problem, n, seed, estimator=estimator)) for seed in range(10))


@pytest.mark.parametrize("n", [256, 2000])
def test_window_bias_is_found_where_they_do_not(paper: SyntheticProblem, n: int) -> None:
    for seed in range(5):
        assert has_window_bias(fit(paper, n, seed))
        assert not has_window_bias(fit(paper, n, seed, t_min=1e-4, t_max=2e-4))
    bias = fit(paper, 2000).window_bias
    assert bias is not None
    assert bias.early[0] == pytest.approx(0.49, abs=0.03)
    assert bias.late[0] > 0.8


@dataclass(frozen=True)
class Around:
    """The target's score plus a combination of directions that change with x and t."""

    base: Any
    others: tuple[Any, ...]
    factors: tuple[float, ...]

    @property
    def dim(self) -> int:
        return int(self.base.dim)

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        s = self.base.score(x, t)
        return s + sum(c * (other.score(x, t) - s) for c, other in zip(self.factors, self.others, strict=True))


@pytest.mark.slow
def test_p_values_are_uniform_where_one_weight_vector_serves_all_times() -> None:
    """Models around the target's score whose average at w is that score: the null hypothesis holds at w."""
    rng = np.random.default_rng(3)
    laws = make_problem("random_mixtures", d=2, k=2, rng=3).auxiliaries
    base, other = (sfbench.AnalyticScore(law, PROCESS) for law in laws)
    truth = np.array([0.6, 0.4])
    models = [Around(base, (other,), (c,)) for c in (truth[1], -truth[0])]
    p_values, found = [], []
    for _ in range(80):
        result = sfbench.fuse(models, laws[0].sample(300, rng=rng), process=PROCESS, n_nodes=8, rng=rng)
        found.append(result.weights[0])
        if result.window_bias is not None:
            p_values.append(result.window_bias.p_value)
    assert abs(np.mean(found) - truth[0]) < 4 * np.std(found) / np.sqrt(len(found)) + 0.02
    assert len(p_values) > 64
    assert 0.02 < np.mean(np.array(p_values) < 0.1) < 0.2
    assert min(p_values) > 1e-4


def test_nothing_to_test_with_few_samples_or_one_auxiliary(paper: SyntheticProblem) -> None:
    assert fit(paper, 40).window_bias is None
    gram = sfbench.score_gram(
        paper.auxiliaries, paper.target.sample(50, rng=0), sfbench.GramSettings(PROCESS, sfbench.time_grid(0.1, 1.0, 4))
    )
    assert window_bias(gram, gram, np.array([0.5, 0.5])) is None
