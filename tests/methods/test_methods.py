"""Every method passes the conformance suite; methods that misbehave do not; budgets are kept by the meter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench.methods import (
    BudgetError,
    Method,
    MethodOutcome,
    NotApplicableError,
    Task,
    check_method,
    known_methods,
    register_method,
    run_method,
)
from sfbench.methods.retrained import tuned
from sfbench.methods.weights import em, minimax
from sfbench.truths import get_truth
from synthetic import GaussianMixture

from ..common import Foreign

OU = sfbench.OrnsteinUhlenbeck()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("published", "from_scratch", "controlled") else name
        for name in known_methods()
    ],
)
def test_methods_do_what_is_required_of_all(name: str) -> None:
    check_method(name)


@dataclass(frozen=True)
class Misbehaved(Method):
    """Draws from nowhere."""

    fault: str = ""

    @property
    def about(self) -> str:
        return "misbehaves"

    def run(self, task: Task) -> MethodOutcome:
        if self.fault == "budget":
            task.models[0].score(np.zeros((10**7, 1)), 0.1)
        if self.fault == "global":
            np.random.random()  # noqa: NPY002
        if self.fault == "data":
            task.x[0] = 0.0
        task.meter.charge(100)
        rng = np.random.default_rng() if self.fault == "seed" else task.rng
        x = task.laws[0].sample(task.n, rng=rng)  # type: ignore[index]
        weights = np.array([2.0, -1.0]) if self.fault == "weights" else None
        if self.fault == "law":
            x = x + 1.0
        if self.fault == "finite":
            x[0] = np.nan
        return MethodOutcome(x[:5] if self.fault == "shape" else x, "" if self.fault == "name" else "p_1", weights)


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ("budget", "10000000 evaluations asked for"),
        ("global", "global generator"),
        ("data", "writes into its data"),
        ("seed", "reproducible"),
        ("weights", "off the simplex"),
        ("law", "another law"),
        ("finite", "not finite"),
        ("shape", "returned points of shape"),
        ("name", "does not name"),
    ],
)
def test_the_suite_has_teeth(fault: str, match: str) -> None:
    with pytest.raises(sfbench.SfbenchError, match=match):
        check_method(Misbehaved(fault))


def test_a_well_behaved_method_of_ones_own_has_a_name() -> None:
    register_method("copies_the_first", Misbehaved)
    assert check_method("copies_the_first").value < 0.09
    with pytest.raises(sfbench.SfbenchError, match="cannot be registered"):
        register_method("fused", Misbehaved)
    with pytest.raises(sfbench.SfbenchError, match="did you mean 'corrected'"):
        run_method("correctd", [], [[0.0]], process=OU, n=1, budget=1)


@pytest.mark.slow
def test_budgets_are_kept_and_most_of_them_used() -> None:
    truth = get_truth("line_paper")
    x = truth.target.sample(256, rng=0)
    for name in ("fused", "corrected", "mixture", "superposed_or"):
        for each in (64, 256):
            run = run_method(name, truth.auxiliaries, x, process=OU, n=500, budget=500 * each, rng=1)
            assert 0.5 * 500 * each < run.evaluations <= 500 * each
    with pytest.raises(BudgetError, match="too few"):
        run_method("uniform", truth.auxiliaries, x, process=OU, n=500, budget=1000, rng=1)


def test_models_without_densities() -> None:
    truth = get_truth("line_paper")
    x, models = truth.target.sample(256, rng=0), [Foreign(law, OU) for law in truth.auxiliaries]
    assert run_method("fused", models, x, process=OU, n=200, budget=40_000, rng=0).outcome.x.shape == (200, 1)
    for name in ("annealed_mcmc", "predictor_corrector"):  # by scores alone
        run_method(name, models, x, process=OU, n=200, budget=40_000, rng=0)
    for name in ("likelihood", "minimax", "mixture_em", "average", "fine_tuned"):
        with pytest.raises(NotApplicableError, match="densities"):
            run_method(name, models, x, process=OU, n=200, budget=40_000, rng=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embedded_r1_d16", "product_paper_4"])
def test_fine_tuning_goes_into_what_laws_are_made_of(name: str) -> None:
    truth = get_truth(name)
    law, x = truth.auxiliaries[0], truth.target.sample(300, rng=0)
    trained, fresh = tuned(law, x, np.random.default_rng(0)), truth.target.sample(4000, rng=1)
    assert type(trained) is type(law)
    assert np.mean(trained.log_prob(fresh)) > np.mean(law.log_prob(fresh)) + 0.05
    with pytest.raises(NotApplicableError, match="no parameters"):
        tuned(object(), x, np.random.default_rng(0))


def test_weights_by_other_rules() -> None:
    laws = [GaussianMixture([1.0], [[-3.0]], 1.0), GaussianMixture([1.0], [[3.0]], 1.0)]
    x = np.concatenate([laws[0].sample(300, rng=0), laws[1].sample(100, rng=1)])
    task = Task((None, None), tuple(laws), x, OU, 10, None, np.random.default_rng(0))  # type: ignore[arg-type]
    assert em(task) == pytest.approx([0.75, 0.25], abs=0.01)
    assert minimax(task) == pytest.approx([0.5, 0.5], abs=1e-4)


@dataclass(frozen=True)
class Answers(Method):
    """Returns what it was made with."""

    change: dict[str, Any]

    @property
    def about(self) -> str:
        return "answers"

    def run(self, task: Task) -> MethodOutcome:
        return MethodOutcome(**({"x": np.zeros((task.n, 1)), "law": "a point"} | self.change))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": [0.0]}, "points of shape"),
        ({"x": np.full((4, 1), "a")}, "real numbers"),
        ({"log_weights": np.zeros(3)}, "log_weights of shape"),
        ({"log_weights": np.full(4, np.nan)}, "log_weights of shape"),
        ({"log_weights": np.full(4, -np.inf)}, "log_weights of shape"),
        ({"weights": np.full(2, np.nan)}, "weights must be finite"),
        ({"weights": np.ones(3)}, "weights must have shape"),
    ],
)
def test_answers_that_hold_no_law_are_refused(change: dict[str, Any], match: str) -> None:
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    with pytest.raises(sfbench.SfbenchError, match=match):
        run_method(Answers(change), [law, law], np.zeros((5, 1)), process=OU, n=4, budget=10)


def test_auxiliaries_may_come_from_a_generator() -> None:
    laws = [GaussianMixture([1.0], [[m]], 1.0) for m in (-1.0, 1.0)]
    kept, read = (
        run_method("likelihood", given, np.zeros((5, 1)), process=OU, n=20, budget=10_000, rng=0).outcome.x
        for given in (laws, iter(laws))
    )
    assert np.array_equal(kept, read)


def test_bad_input_is_refused_by_name() -> None:
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    good = {"process": OU, "n": 100, "budget": 10_000}
    for change, match in (({"n": 0}, "n must"), ({"budget": -1}, "budget"), ({"process": 3}, "process")):
        with pytest.raises(sfbench.SfbenchError, match=match):
            run_method("uniform", [law], np.zeros((5, 1)), **(good | change))  # type: ignore[arg-type]
    with pytest.raises(sfbench.SfbenchError, match="x must"):
        run_method("uniform", [law], np.zeros((5, 2)), **good)  # type: ignore[arg-type]
    with pytest.raises(sfbench.SfbenchError, match="auxiliaries"):
        run_method("uniform", 3, np.zeros((5, 1)), **good)  # type: ignore[arg-type]
    with pytest.raises(sfbench.SfbenchError, match="not a sfbench"):
        run_method(3, [law], np.zeros((5, 1)), **good)  # type: ignore[arg-type]
