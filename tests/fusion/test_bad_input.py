"""Bad input to the interface of `sfbench`: named, never silent; odd input that is fine is taken as it is."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench import GridError, ModelError, OrnsteinUhlenbeck, SfbenchError, TimeGrid, bounds, fuse, time_grid
from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, known_problems, make_problem

OU = OrnsteinUhlenbeck()
PROBLEM = make_problem("shifted_gaussians", k=3, d=3)
LAWS = PROBLEM.auxiliaries
X = PROBLEM.target.sample(100, rng=0)


def spoilt(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 1] = value
    return x


# ---------------------------------------------------------------------- fuse
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": []}, r"data must have shape \(n, d\)"),
        ({"x": X[:0]}, "data are empty"),
        ({"x": X[0]}, r"data must have shape \(n, d\)"),
        ({"x": X[:, :2]}, "models live in 3 dimensions, data in 2"),
        ({"x": spoilt(np.nan)}, r"data\[7, 1\] is nan"),
        ({"x": spoilt(-np.inf)}, r"data\[7, 1\] is -inf"),
        ({"x": [["a", "b", "c"]]}, "real numbers"),
        ({"x": None}, "data must"),
        ({"x": "x.npy"}, "got the path 'x.npy'; read it first"),
        ({"auxiliaries": []}, "no models given"),
        ({"auxiliaries": LAWS[0]}, "models must be a sequence of score models or laws, got a GaussianMixture"),
        ({"auxiliaries": None}, "models must be a sequence .* got a NoneType"),
        ({"auxiliaries": [LAWS[0], "b"]}, r"models\[1\] is a str"),
        ({"auxiliaries": [LogLinearPool(LAWS, [0.2, 0.3, 0.5])]}, "LogLinearPool, a law whose noised versions"),
        ({"auxiliaries": [*LAWS, GaussianMixture([1.0], [[0.0]], 1.0)]}, r"one dimension, got \[3, 3, 3, 1\]"),
        ({"process": None}, "process must be a ForwardProcess such as OrnsteinUhlenbeck"),
        ({"process": OrnsteinUhlenbeck}, "process must be a ForwardProcess"),
        ({"process": "ou"}, "process must be a ForwardProcess such as .* got 'ou'"),
        ({"t_min": 0.0}, "t_min=0.0"),
        ({"t_min": -1.0}, "t_min=-1.0"),
        ({"t_min": np.nan}, "t_min=nan"),
        ({"t_min": "a"}, "t_min='a'"),
        ({"t_min": 6.0}, "need 0 < t_min <= t_max"),
        ({"t_max": np.inf}, "both finite"),
        ({"n_nodes": 0}, "n_nodes must be an integer of at least 1"),
        ({"n_nodes": 2.5}, "n_nodes must be an integer of at least 1"),
        ({"n_nodes": True}, "an integer"),
        ({"n_nodes": 10**7}, "at most 4096"),
        ({"estimator": "stien"}, "unknown estimator 'stien'"),
        ({"weighting": "x"}, "unknown weighting 'x'"),
        ({"weighting": lambda t: -t}, "non-negative value per time node"),
        ({"weighting": lambda t: np.nan * t}, "finite"),
        ({"weighting": lambda t: 1.0}, "one finite non-negative value per time node"),
        ({"solver": "activ_set"}, "did you mean 'active_set'"),
        ({"tol": 0.0}, "tol must be positive"),
        ({"tol": np.nan}, "tol must be positive"),
        ({"n_noise": 0}, "n_noise must be an integer of at least 1"),
        ({"objective": "x"}, "unknown objective 'x'"),
    ],
)
def test_bad_arguments_of_fuse_are_named(changes: dict[str, Any], message: str) -> None:
    arguments = {"auxiliaries": LAWS, "x": X, "process": OU, **changes}
    with pytest.raises(ValueError, match=message):
        fuse(**arguments)


@pytest.mark.parametrize(
    "x",
    [
        X.tolist(),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X.astype(np.longdouble),
        pytest.param(X.astype(np.float32), id="float32"),
    ],
)
def test_the_form_of_data_does_not_matter(x: Any) -> None:
    expected, found = (fuse(LAWS, data, process=OU, rng=0).weights for data in (X, x))
    assert np.allclose(found, expected, atol=1e-5)


def test_data_are_not_changed_and_may_be_read_only() -> None:
    frozen = X.copy()
    frozen.setflags(write=False)
    fuse(LAWS, frozen, process=OU, rng=0)
    assert np.array_equal(frozen, X)


@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_far_and_wide_data_are_fused_like_near_ones(scale: float, offset: float) -> None:
    """With the process scaled along (variance exploding by constant sigma), weights would be equal; here: finite."""
    laws = [law.affine(scale, offset) for law in LAWS]  # type: ignore[union-attr]
    result = fuse(laws, scale * X + offset, process=OU, rng=0)
    assert result.weights.sum() == pytest.approx(1.0)
    assert np.all(np.isfinite(result.gram.G))


@pytest.mark.parametrize("d", [1, 2, 40])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_problems(n: int, k: int, d: int) -> None:
    problem = make_problem("shifted_gaussians", k=k, d=d)
    result = fuse(problem.auxiliaries, problem.target.sample(n, rng=0), process=OU, rng=0)
    assert result.weights.shape == (k,)
    assert result.weights.min() >= 0
    assert result.weights.sum() == pytest.approx(1.0)
    if k == 1:
        assert result.weights.tolist() == [1.0]
    intervals = result.confidence_interval()
    assert np.all((intervals >= 0) & (intervals <= 1))
    if n == 1 and k == 2:
        assert intervals.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_a_generator_is_consumed_and_a_seed_is_not() -> None:
    generator = np.random.default_rng(5)
    first, second = (fuse(LAWS, X, process=OU, estimator="dsm", rng=generator).weights for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(fuse(LAWS, X, process=OU, estimator="dsm", rng=5).weights, first)
    assert np.array_equal(fuse(LAWS, X, process=OU, estimator="dsm", rng=5).weights, first)


# ---------------------------------------------------------------------- scores, grids, processes
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"shape \(3,\), got \(1,\)"),
        ([[1.0, 0.0, 0.0]], r"got \(1, 3\)"),
        ([0.5, 0.5, 0.5], "sum to 1"),
        ([1.5, -0.5, 0.0], "non-negative"),
        ([np.nan, 0.5, 0.5], "finite"),
        (None, "weights must"),
        ("abc", "weights must hold real numbers, got dtype"),
        ([1j, 0, 0], "weights must hold real numbers"),
    ],
)
def test_weights_of_a_fused_score_are_checked(weights: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        sfbench.FusedScore(LAWS, weights, process=OU)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: time_grid(0, 1), "t_min=0"),
        (lambda: time_grid(1, None), "t_max=None"),
        (lambda: TimeGrid([], []), "vectors of one length"),
        (lambda: TimeGrid([1.0], [1.0, 2.0]), "vectors of one length"),
        (lambda: TimeGrid([1.0, 1.0], [1.0, 1.0]), "strictly increasing"),
        (lambda: TimeGrid([0.0], [1.0]), "nodes positive"),
        (lambda: TimeGrid([1.0], [-1.0]), "time weights must be at least 0"),
        (lambda: TimeGrid(["a"], [1.0]), "must hold real numbers"),
        (lambda: sfbench.VariancePreserving(0.0, 1.0), "beta_min"),
        (lambda: sfbench.VariancePreserving(2.0, 1.0), "beta_min"),
        (lambda: sfbench.VarianceExploding(1.0), "greater than 1"),
        (lambda: sfbench.VarianceExploding(np.nan), "greater than 1"),
    ],
)
def test_grids_and_processes_are_checked(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(GridError, match=message):
        call()


@pytest.mark.parametrize("t", [-1.0, np.nan, "a"])
def test_a_score_at_no_time_is_refused(t: Any) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="t must be"):
        sfbench.FusedScore(LAWS, [0.2, 0.3, 0.5], process=OU).score(X, t)


def test_every_error_is_a_value_error_with_a_message() -> None:
    for error in (sfbench.GramError, GridError, ModelError, sfbench.NotFiniteError):
        assert issubclass(error, SfbenchError)
        assert issubclass(error, ValueError)


# ---------------------------------------------------------------------- copies
def _copies(value: Any) -> list[Any]:
    return [pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)]


@pytest.mark.slow
@pytest.mark.parametrize("name", known_problems())
def test_problems_survive_copies_used_or_not(name: str) -> None:
    problem = make_problem(name)
    x = problem.target.sample(5, rng=0)
    fresh = pickle.dumps(make_problem(name))
    problem.target.log_prob(x)
    assert pickle.dumps(problem) == fresh  # caches are not part of it
    for other in _copies(problem):
        assert isinstance(other, SyntheticProblem)
        assert other.params == problem.params
        for law, same in zip((problem.target, *problem.auxiliaries), (other.target, *other.auxiliaries), strict=True):
            assert np.array_equal(same.log_prob(x), law.log_prob(x))
            assert np.array_equal(same.score(x), law.score(x))
            assert np.array_equal(same.sample(7, rng=1), law.sample(7, rng=1))


@pytest.mark.parametrize("covariances", [0.5, [0.5, 1.0], np.ones((2, 3)), np.stack([np.eye(3)] * 2)])
def test_copies_of_laws_cannot_be_written_to(covariances: Any) -> None:
    law = GaussianMixture([0.5, 0.5], np.zeros((2, 3)), covariances)
    for other in (law, *_copies(law)):
        for array in (other.weights, other.means, other.spectrum.values, other.spectrum.basis):
            assert array is None or not array.flags.writeable
    for pool in _copies(LogLinearPool([law, law], [0.4, 0.6])):
        assert not pool.weights.flags.writeable
        assert pool.weights.tolist() == [0.4, 0.6]


def test_results_survive_copies() -> None:
    result = fuse(LAWS, X, process=OU, rng=0)
    for value in (result, result.gram, result.score, OU, time_grid(1e-3, 1.0), bounds.Bound(1.0, "a", "upper", ())):
        for other in _copies(value):
            assert type(other) is type(value)
    for other in _copies(result):
        assert np.array_equal(other.weights, result.weights)
        assert np.array_equal(other.score.score(X, 0.1), result.score.score(X, 0.1))
        assert np.array_equal(other.gram.G, result.gram.G)
