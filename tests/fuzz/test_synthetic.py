"""Every public function of `synthetic` with hostile arguments.

The oracle: an error of the package that names an argument, or a finite answer that satisfies its law (densities and
scores agree with their own differences, samples have their shape, a recipe rebuilds its problem, hostile points give
what plain copies of them give); arrays passed in keep their bits; no call takes longer than `HANG` seconds. The number
of cases is that of the environment variable SFBENCH_FUZZ_CASES, shared out among the tests of this file.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import synthetic
from synthetic import (
    EffectiveSampleSizeError,
    EmbeddedMixture,
    Estimate,
    GaussianMixture,
    LogLinearPool,
    PoolSample,
    SyntheticError,
    SyntheticProblem,
)
from synthetic.quadrature import GridLaw, can_cover, cover, log_integral
from synthetic.reduction import reduce_laws

from .synthetic_arguments import (
    arrays,
    counts,
    covariance,
    dimensions,
    embedded,
    laws,
    maybe,
    mixtures,
    nearly_simplex,
    orthonormal,
    pools,
    rarely,
    rngs,
    scalars,
)

CASES = int(os.environ.get("SFBENCH_FUZZ_CASES", "420"))
HANG = 10.0  # seconds


@dataclass
class Case:
    """A call, the arrays that it is given, and what its answer must satisfy."""

    what: str
    call: Callable[[], Any]
    given: tuple[Any, ...]
    check: Callable[[Any], None]


# ---------------------------------------------------------------------- what answers must satisfy
def finite(answer: Any, *shape: int) -> None:
    assert isinstance(answer, np.ndarray)
    assert answer.shape == shape
    assert np.all(np.isfinite(answer))


def is_law(law: Any) -> None:
    """Draws have their shape; density and score are finite at them, and agree by central differences."""
    d = law.dim
    x = law.sample(4, rng=0)
    finite(x, 4, d)
    finite(law.divergence(x), 4)
    finite(law.log_prob(x), 4)
    score = law.score(x)
    finite(score, 4, d)
    variances = np.concatenate([np.ravel(spread_of(part)) for part in law.components])
    std = float(np.sqrt(variances.min()))
    h, u = 1e-3 * std, np.random.default_rng(0).standard_normal(d)
    u /= np.linalg.norm(u)
    if h < 1e-7 * np.abs(x).max():
        return  # a step that the points cannot resolve
    ahead, behind = law.log_prob(x + h * u), law.log_prob(x - h * u)
    scale = np.abs(score).max(axis=1) + 1.0 / std
    rounding = 1e-15 * (np.abs(ahead) + np.abs(x).max() / std * scale * std + 1.0) * 100 / h
    assert np.all(np.abs((ahead - behind) / (2 * h) - score @ u) <= 1e-3 * scale + rounding)


def spread_of(part: Any) -> Any:
    """Variances of a mixture's components."""
    if isinstance(part, GaussianMixture):
        return part.spectrum.values
    return np.append(part.core.spectrum.values, part.variance)


def is_estimate(answer: Any) -> None:
    assert np.isfinite(answer.value)
    assert answer.stderr >= 0


def same_as_plain(method: Callable[[Any], Any], x: Any) -> Callable[[Any], None]:
    """Hostile points that were accepted hold real numbers, of which a plain copy gives the same."""

    def check(answer: Any) -> None:
        plain = np.asarray(x)
        assert plain.dtype.kind in "fiu"
        assert plain.ndim == 2
        assert np.all(np.isfinite(plain))
        plain = np.ascontiguousarray(plain, np.float32 if plain.dtype == np.float32 else np.float64)
        for part, again in zip(*(a if isinstance(a, tuple) else (a,) for a in (answer, method(plain))), strict=True):
            finite(part, *again.shape)
            assert len(part) == len(plain)
            np.testing.assert_array_equal(part, again)

    return check


def is_problem(problem: Any) -> None:
    assert problem.k == len(problem.auxiliaries)
    recipe = problem.recipe
    again = synthetic.make_problem(**recipe)
    for p, q in zip((problem.target, *problem.auxiliaries), (again.target, *again.auxiliaries), strict=True):
        assert repr(p) == repr(q)
        if p.dim <= 16 and problem.k <= 8:
            np.testing.assert_array_equal(p.score(np.ones((1, p.dim))), q.score(np.ones((1, p.dim))))
    if problem.dim <= 16 and problem.k <= 8:
        is_law(problem.auxiliaries[-1])


# ---------------------------------------------------------------------- calls
@st.composite
def constructions(draw: st.DrawFn) -> Case:
    """Laws from hostile parts."""
    kind, d = draw(st.sampled_from(["mixture", "mixture", "embedded", "pool", "arithmetic"])), draw(st.integers(1, 3))
    m = draw(st.integers(1, 3))
    weights = draw(arrays((m,), nearly_simplex))
    if kind == "mixture":
        means = draw(arrays((m, d)))
        shape = draw(st.sampled_from([(), (m,), (m, d), (m, d, d)]))
        covariances = draw(arrays(shape, covariance))
        return Case(kind, lambda: GaussianMixture(weights, means, covariances), (weights, means, covariances), is_law)
    if kind == "embedded":
        core, v = draw(maybe(mixtures(1))), draw(maybe(st.floats(0.1, 3.0)))
        frame, shift = draw(arrays((3, 1), orthonormal)), draw(arrays((3,)))
        return Case(kind, lambda: EmbeddedMixture(core, frame, v, shift), (frame, shift), is_law)
    parts = draw(
        st.one_of(
            st.lists(mixtures(d, huge=False), min_size=m, max_size=m),
            st.lists(maybe(laws), max_size=3),
            scalars,
            st.lists(mixtures(d), min_size=m, max_size=m),
        )
    )
    make: Any = LogLinearPool if kind == "pool" else synthetic.arithmetic_mixture
    return Case(kind, lambda: make(parts, weights), (weights,), is_law)


@st.composite
def evaluations(draw: st.DrawFn) -> Case:
    """Densities and scores at hostile points."""
    law = draw(laws)
    names = [name for name in ("log_prob", "score", "divergence", "score_and_divergence") if hasattr(law, name)]
    name = draw(st.sampled_from(names))
    x = draw(arrays((draw(st.integers(0, 4)), law.dim)))
    method = getattr(law, name)
    return Case(f"{type(law).__name__}.{name}", lambda: method(x), (x,), same_as_plain(method, x))


@st.composite
def maps(draw: st.DrawFn) -> Case:
    """Samples and images of laws with hostile numbers."""
    law = draw(laws)
    name = draw(st.sampled_from(["sample", "affine", "diffuse"]))
    if name == "sample" or not hasattr(law, name):
        n, rng = draw(counts), draw(rngs)
        return Case("sample", lambda: law.sample(n, rng=rng), (), lambda x: finite(x, int(n), law.dim))
    a = draw(maybe(st.floats(-3.0, 3.0)))
    if name == "affine":
        b = draw(arrays((law.dim,) if draw(st.booleans()) else ()))
        return Case(name, lambda: law.affine(a, b), (b,), is_law)
    s = draw(maybe(st.floats(0.0, 3.0)))
    return Case(name, lambda: law.diffuse(a, s), (), is_law)


@st.composite
def partitions(draw: st.DrawFn) -> Case:
    """Pools: their constant, their bounds, and one sample for many weights."""
    law = draw(dimensions.flatmap(pools))
    k = len(law.components)
    if draw(st.booleans()):
        method, n, rng = (
            draw(maybe(st.sampled_from(["auto", "closed form", "quadrature", "envelope"]))),
            draw(counts),
            draw(rngs),
        )

        def check(answer: Any) -> None:
            is_estimate(answer)
            low, high = law.partition_bounds()
            assert low - 1e-6 - 6 * answer.stderr <= answer.value <= high + 1e-6 + 6 * answer.stderr

        return Case("log_partition", lambda: law.log_partition(method, n=n, rng=rng), (), check)
    n, rng, weights = draw(counts), draw(rngs), draw(arrays((k,), nearly_simplex))
    return Case("PoolSample", lambda: PoolSample(law, n=n, rng=rng).total_variation(weights), (weights,), is_estimate)


@st.composite
def subspaces(draw: st.DrawFn) -> Case:
    """Where laws differ, and what they are there."""
    some = draw(st.lists(st.one_of(embedded(), mixtures(4, huge=False), pools(4), laws), max_size=3))
    what = draw(st.sampled_from(["common", "core_of", "project", "lift", "reduce", "cover", "grid"]))
    if what == "common":
        return Case(what, lambda: synthetic.common_subspace(some) or some, (), lambda _: None)
    if what == "reduce":
        auxiliaries = [law for law in some if not isinstance(law, LogLinearPool)] or [draw(embedded())]
        target, x = draw(st.sampled_from([None, *some])), np.ones((3, auxiliaries[0].dim))
        z = draw(arrays(x.shape))

        def reduce() -> Any:
            reduction = reduce_laws(auxiliaries, target)
            return np.zeros((3, 0)) if reduction is None else reduction.project_noise(x, z)

        return Case(what, reduce, (z,), lambda u: finite(u, 3, u.shape[1]))
    if what in ("cover", "grid"):
        plain = draw(st.lists(st.one_of(mixtures(1, huge=False), mixtures(2, huge=False), pools(1)), max_size=2))
        refine = draw(maybe(st.floats(0.2, 1.0)))
        if what == "cover":
            return Case(
                what, lambda: cover(plain, refine=refine), (), lambda grid: finite(grid.nodes, *grid.nodes.shape)
            )
        law = draw(mixtures(1, huge=False))
        grid = cover([law])
        y = draw(arrays((3, 1)))
        values = GridLaw(np.asarray(law.log_prob(grid.nodes)), grid)
        assert can_cover(law)
        assert abs(log_integral(np.asarray(law.log_prob(grid.nodes)), grid)[0]) < 1e-6
        return Case(what, lambda: values.log_prob(y), (y,), lambda out: finite(np.exp(out), len(np.asarray(y))))
    law = draw(embedded())
    if what == "core_of":
        other = draw(maybe(laws))
        return Case(what, lambda: law.subspace.core_of(other), (), is_law)
    x = draw(arrays((3, 4 if what == "project" else 1)))
    if what == "project":
        return Case(what, lambda: law.subspace.project(x), (x,), lambda out: finite(out, len(np.asarray(x)), 1))
    rng = np.random.default_rng(0)
    return Case(what, lambda: law.subspace.lift(x, rng), (x,), lambda out: finite(out, len(np.asarray(x)), 4))


SIZES = st.sampled_from([1, 1, 2, 2, 3, 4, 5, 16, 0, 10**12, -1])
NUMBERS = st.one_of(st.floats(1.0, 10.0), st.floats(1.0, 10.0), st.floats())


@st.composite
def named_problems(draw: st.DrawFn) -> Case:
    """Families with hostile parameters."""
    names = [*synthetic.known_problems(), "shifted_gaussian", "no_such_module:ring", "os:getcwd", "x.py:y", ":"]
    name = draw(maybe(st.sampled_from(names)))
    accepted = synthetic.problem_parameters(name) if isinstance(name, str) and name in names[:-5] else {"k": 2, "d": 2}
    params: dict[str, Any] = {}
    for key, default in accepted.items():
        if draw(st.booleans()):
            if key == "weights":
                params[key] = draw(arrays((draw(st.integers(1, 4)),), nearly_simplex))
            elif isinstance(default, int):
                params[key] = draw(maybe(SIZES))
            elif isinstance(default, float):
                params[key] = draw(maybe(NUMBERS))
            else:
                params[key] = draw(
                    maybe(st.sampled_from(["raw", "aligned", "mixture", "barycenter", "full", "diagonal", default]))
                )
    if draw(rarely):
        params["size"] = 3
    rng = draw(rngs)
    return Case(
        f"make_problem {name}",
        lambda: synthetic.make_problem(name, rng=rng, **params),
        tuple(params.values()),
        is_problem,
    )


@st.composite
def registrations(draw: st.DrawFn) -> Case:
    """Problems by hand, estimates, places of families, names."""
    what = draw(st.sampled_from(["problem", "estimate", "load", "parameters", "family"]))
    if what == "problem":
        target, auxiliaries = draw(maybe(laws)), draw(st.one_of(scalars, st.lists(maybe(laws), max_size=2)))
        weights = draw(st.one_of(st.none(), arrays((2,), nearly_simplex)))
        return Case(
            what, lambda: SyntheticProblem("mine", target, auxiliaries, weights), (weights,), lambda p: is_law(p.target)
        )
    if what == "estimate":
        value, error = draw(scalars), draw(scalars)
        return Case(what, lambda: Estimate(value, error), (), is_estimate)
    where = draw(st.one_of(scalars, st.text(max_size=8), st.sampled_from(["json", "this.py", "tests", "..", "a.b"])))
    if what == "family":
        return Case(what, lambda: synthetic.family(where), (), lambda _: None)
    call: Any = synthetic.load_families if what == "load" else synthetic.problem_parameters
    return Case(what, lambda: call(where), (), lambda _: None)


GROUPS: dict[str, st.SearchStrategy[Case]] = {
    "constructions": constructions(),
    "evaluations": evaluations(),
    "maps": maps(),
    "partitions": partitions(),
    "subspaces": subspaces(),
    "named problems": named_problems(),
    "registrations": registrations(),
}
fuzz = settings(
    max_examples=max(CASES // len(GROUPS), 1),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
# An error must say one of these words: what it is about.
ARGUMENTS = re.compile(
    r"\b(weights|means|covariances|x|y|z|n|k|d|m|rng|scale|shift|alpha|sigma|core|frame|variance|components|mixtures|laws?|"
    r"problem|method|target|auxiliaries|true_weights|value|stderr|where|family|import|refine|coordinates|acceptance|"
    r"proposals|draws|file|module|estimate|quadrature|log Z|rank|separation|condition|ratio|spread|space|covariance|"
    r"envelope)\b"
)


def judge(case: Case) -> str:
    """``answered`` or ``refused``; raises an AssertionError for a silent fault or a hang, and lets a raw error pass."""
    arrays_given = [a for a in case.given if type(a) is np.ndarray and a.nbytes < 1 << 20]
    before = [a.tobytes() for a in arrays_given]
    began, answer, reason = time.perf_counter(), None, ""
    try:
        answer = case.call()
    except (SyntheticError, EffectiveSampleSizeError) as error:
        reason = str(error)
    assert not reason or ARGUMENTS.search(reason), f"no argument is named: {reason}"
    assert time.perf_counter() - began < HANG, "hang"
    assert [a.tobytes() for a in arrays_given] == before, "an argument was written to"
    if reason:
        return "refused"
    try:
        case.check(answer)
    except EffectiveSampleSizeError:
        return "answered"  # a law that cannot be sampled says so
    except SyntheticError as error:
        reason = str(error)
    # At the edge of what floats and grids hold, a law says so as well.
    assert not reason or re.search(r"standard deviations from|at most 1e\+150|quadrature along axis", reason), reason
    assert time.perf_counter() - began < 2 * HANG, "hang"
    return "answered"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("group", GROUPS)
def test_hostile_arguments_are_refused_by_name_or_answered_rightly(group: str) -> None:
    @fuzz
    @given(GROUPS[group])
    def run(case: Case) -> None:
        judge(case)

    run()


@pytest.mark.parametrize("fault", ["score", "silent", "writes", "unnamed", "hang", "shape"])
def test_the_oracle_has_teeth(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It judges a sound call as answered, and finds each kind of fault."""
    law, x = GaussianMixture([0.5, 0.5], np.eye(2), 1.0), np.eye(3, 2)
    hidden = np.ma.masked_array(x, mask=x > 0)

    def refuse(_: Any) -> Any:
        raise SyntheticError("something is not right")

    calls: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
        "score": (lambda: law, is_law),
        "silent": (lambda: law.score(hidden.data), same_as_plain(law.score, np.full((3, 2), np.nan))),
        "writes": (lambda: x.__setitem__(0, 1.0), lambda _: None),
        "unnamed": (lambda: refuse(x), lambda _: None),
        "hang": (lambda: law, is_law),
        "shape": (lambda: law.score(x[:1]), same_as_plain(law.score, x)),
    }
    assert judge(Case("sound", lambda: law, (x,), is_law)) == "answered"
    if fault == "score":
        broken = GaussianMixture.score
        monkeypatch.setattr(GaussianMixture, "score", lambda self, points: 1.01 * broken(self, points))
    if fault == "hang":
        monkeypatch.setattr(sys.modules[__name__], "HANG", 0.0)
    with pytest.raises(AssertionError):
        judge(Case(fault, *calls[fault][:1], (x,), calls[fault][1]))
