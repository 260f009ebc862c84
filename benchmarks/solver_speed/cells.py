"""Measurements of the solver study (see :mod:`benchmarks.solver_speed`): problems, timed calls, raw library calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter, process_time
from typing import Any, Literal

import numpy as np

Record = dict[str, Any]

TOL = 1e-9
DIMS = (2, 5, 8, 20, 100, 500, 2000)
OVERHEAD_DIMS = (2, 3, 4, 8, 16, 32)
RANKS = ("full", "half")
REFERENCE = "cvxpy"
LARGEST: dict[str, tuple[int, str]] = {
    "scipy_slsqp": (100, "one call at k = 500 had not ended after 4 minutes (a dense least-squares problem a step)"),
    "exponentiated_gradient": (500, "one call at k = 2000, half rank, takes 29 s (6000 steps), certified"),
    "proxqp": (500, "one call at k = 2000 takes 55 s, 3.8 times cvxpy's, certified"),
    "qpsolvers": (500, "one call at k = 2000 takes 220 s, 14 times cvxpy's (its default backend sees P as sparse)"),
}
"""Solvers left out above some k, with the reason that the report prints."""
CONTENDERS = ("auto", "active_set", "piqp", "daqp", "proxqp", "clarabel", "projected_gradient", "cvxpy")
"""Solvers that are fastest somewhere, and the reference: those of the second family."""


def make_qp(k: int, rank: str, seed: int, family: str = "general") -> tuple[np.ndarray, np.ndarray]:
    """Data (k, k) and (k,) of one benchmark problem.

    Family "relative" is what a fit solves: a Gram matrix relative to its first member, whose row is zero.
    """
    columns = 2 * k if rank == "full" else max(1, k // 2)
    if family == "general":
        rng = np.random.default_rng([seed, k, rank == "half"])
        A = rng.normal(size=(k, columns))
        y = rng.dirichlet(np.ones(k)) @ A + 0.5 * rng.normal(size=columns)
    elif family == "relative":
        rng = np.random.default_rng([seed, k, rank == "half", 2])
        A = rng.normal(size=(k, columns))
        A -= A[0]
        y = rng.dirichlet(np.ones(k)) @ A + 0.5 * rng.normal(size=columns)
    else:
        rng = np.random.default_rng([seed, k, rank == "half", 1])
        spectrum = np.arange(1.0, columns + 1.0) ** -0.75
        A = (rng.normal(size=(k, columns)) + rng.normal(size=columns)) * spectrum
        w = np.zeros(k)
        w[rng.permutation(k)[:3]] = rng.dirichlet(np.ones(3))[:k]
        y = w @ A / w.sum() + 0.1 * spectrum * rng.normal(size=columns)
    P = A @ A.T / columns
    return 0.5 * (P + P.T), -(A @ y) / columns


def measure_cell(names: Sequence[str], family: str, k: int, rank: str, seed: int, quick: bool) -> list[Record]:
    """Best times and worst gaps of every solver on the problems of one cell, interleaved in random order."""
    from solvers import SimplexQP, SolverFailureError, solve

    # The second family at other seeds than the rules of "auto" were set on.
    first = 1000 * seed + (0 if family == "general" else 500)
    problems = [SimplexQP(*make_qp(k, rank, first + i, family)) for i in range(1 if k >= 500 else 3)]
    repeats = 5 if k >= 500 or quick else 40 if k <= 20 else 9
    slow = 2e-2 if k < 500 else 0.5
    order = [name for name in names if k <= LARGEST.get(name, (k, ""))[0]]
    best = {name: [np.inf] * len(problems) for name in order}
    gaps = dict.fromkeys(order, 0.0)
    errors: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    clock = process_time if k >= 100 else perf_counter  # CPU time cannot be inflated by others, but ticks too slowly
    for repeat in range(repeats + 1):  # the first round warms imports and caches
        if repeat == 0 and k >= 500:
            continue
        for index in rng.permutation(len(order)):
            name = order[index]
            # Slow calls need no more repeats to be told from fast ones.
            if (slow if repeat > 2 else 2.0 if repeat > 1 else np.inf) < best[name][0] < np.inf:
                continue
            # A few fast calls in a row: the first finds the caches full of the solver before it.
            for i, problem in [*enumerate(problems)] * (5 if best[name][0] < 1e-3 else 1):
                began = clock()
                try:
                    result = solve(problem, name, tol=TOL)
                except SolverFailureError as error:
                    errors[name] = str(error)
                    gaps[name] = np.inf
                    continue
                best[name][i] = min(best[name][i], clock() - began)
                gaps[name] = max(gaps[name], result.relative_gap)
    reference = sum(best[REFERENCE])
    return [
        {
            "kind": "cell",
            "family": family,
            "k": k,
            "rank": rank,
            "solver": name,
            "ratio": sum(best[name]) / reference,
            "seconds": sum(best[name]) / len(problems),
            "gap": gaps[name],
            "certified": gaps[name] <= TOL,
            "error": errors.get(name),
        }
        for name in order
    ]


def measure_overhead(seed: int, quick: bool) -> list[Record]:
    """``solve`` against raw calls of the libraries that "auto" may choose, over five problems a dimension and family.

    The raw calls have a problem of the family "general" in hand, also beside "relative", where PIQP and DAQP as their
    documentation shows them are slower or wrong by 1e-7.
    """
    from solvers import SimplexQP, available_solvers, solve

    raw: tuple[Literal["piqp", "daqp"], ...] = ("piqp", "daqp")
    libraries = [name for name in raw if name in available_solvers()]
    records: list[Record] = []
    for family, k in itertools.product(("general", "relative"), OVERHEAD_DIMS):
        times: dict[str, list[float]] = {}
        for i in range(5):
            P, q = make_qp(k, "full", 1000 * seed + i, family)
            problem = SimplexQP(P, q)
            calls: dict[str, Callable[[], object]] = {
                "auto": partial(solve, problem),
                "construction": partial(SimplexQP, P, q),
                "auto_and_construction": lambda P=P, q=q: solve(SimplexQP(P, q)),  # type: ignore[misc]
            }
            for library in libraries:
                calls[f"raw_{library}"] = raw_call(library, *make_qp(k, "full", 1000 * seed + i))
                calls[f"solve_{library}"] = partial(solve, problem, library)
            for name, seconds in _interleaved(calls, rounds=5 if quick else 60, number=50).items():
                times.setdefault(name, []).append(seconds)
        about = {"k": k, "family": family, "chosen": solve(problem).solver, "libraries": libraries}
        records.append({"kind": "overhead", **about, "seconds": times})
    return records


def raw_call(library: str, P: np.ndarray, q: np.ndarray) -> Callable[[], object]:
    """The shortest correct use of a library on the simplex, as its documentation shows it."""
    k = len(q)
    if library == "daqp":
        import daqp

        def with_daqp() -> object:
            upper, lower = np.ones(k + 1), np.zeros(k + 1)
            lower[k] = 1.0
            sense = np.zeros(k + 1, dtype=np.int32)
            sense[k] = 5
            return daqp.solve(P, q, np.ones((1, k)), upper, lower, sense)

        return with_daqp
    import piqp

    def with_piqp() -> object:
        solver = piqp.DenseSolver()
        solver.settings.eps_abs = solver.settings.eps_rel = 1e-11
        solver.setup(P, q, np.ones((1, k)), np.ones(1), None, None, None, np.zeros(k), None)
        return solver.solve()

    return with_piqp


def measure_many(seed: int, quick: bool) -> Record:
    """1000 problems of k = 8 in one call against fresh cvxpy calls, and the rate for 20,000."""
    import cvxpy

    from solvers import solve_many

    data = [make_qp(8, "full", 10_000 * seed + i) for i in range(1000)]
    P, q = np.stack([p for p, _ in data]), np.stack([v for _, v in data])
    sample = 20 if quick else 100

    def fresh() -> None:
        for i in range(sample):
            w = cvxpy.Variable(8, nonneg=True)
            cost = 0.5 * cvxpy.quad_form(w, P[i], assume_PSD=True) + q[i] @ w
            cvxpy.Problem(cvxpy.Minimize(cost), [cvxpy.sum(w) == 1]).solve(solver="CLARABEL")

    best = _interleaved({"cvxpy": fresh, "many": lambda: solve_many((P, q))}, rounds=3, number=1)
    copies = 2 if quick else 20
    big = np.tile(P, (copies, 1, 1)), np.tile(q, (copies, 1))
    rate = 1000 * copies / _interleaved({"big": lambda: solve_many(big)}, rounds=3, number=1)["big"]
    results = solve_many((P, q))
    return {
        "kind": "many",
        "k": 8,
        "n": 1000,
        "ratio_to_cvxpy": best["many"] / (best["cvxpy"] * 1000 / sample),
        "solves_per_second": rate,
        "worst_gap": float((results.gaps / results.scales).max()),
    }


def measure_constrained(seed: int, quick: bool) -> Record:
    """Perturbed problems of k = 8 under a cap on the weights, as resampling solves them: at once, and one by one."""
    from solvers import SimplexQP, solve, solve_many
    from solvers.cvxpy_conic import Cvxpy

    rng = np.random.default_rng([seed, 3])
    base, n = make_qp(8, "full", seed), 30 if quick else 300
    noise = 0.1 * rng.normal(size=(n, 8, 40))
    problems = [SimplexQP(base[0] + A @ A.T / 40, base[1] + 0.02 * rng.normal(size=8)) for A in noise]
    capped = Cvxpy(constraints=lambda w: [w <= 0.3])
    few = problems[: max(n // 10, 5)]
    calls = {
        "many": lambda: solve_many(problems, capped, tol=1e-6),
        "alone": lambda: [solve(problem, capped, tol=1e-6) for problem in few],
    }
    best = _interleaved(calls, rounds=1 if quick else 3, number=1, clock=process_time)
    results = solve_many(problems, capped, tol=1e-6)
    return {
        "kind": "constrained",
        "k": 8,
        "n": n,
        "cpu_seconds": best["many"],
        "ratio_to_alone": best["many"] / (best["alone"] * n / len(few)),
        "certified": int(results.converged.sum()),
        "binding": float((results.weights.max(axis=1) > 0.3 - 1e-6).mean()),
        "worst_gap": float((results.gaps / results.scales).max()),
    }


def _interleaved(
    calls: dict[str, Callable[[], object]], *, rounds: int, number: int, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """Least seconds a call, the calls taking turns so that a busy moment meets them all."""
    best = dict.fromkeys(calls, np.inf)
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = clock()
            for _ in range(number):
                call()
            best[name] = min(best[name], (clock() - began) / number)
    return best
