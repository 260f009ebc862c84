"""Solver backends side by side: time relative to a fresh cvxpy/Clarabel call, and worst certified gap.

``python -m benchmarks.solver_speed [--quick] [--seed N] [--out DIR] [--solver NAME]...``

Problems are Gram matrices in general position, ``P = A A' / rank``, ``q = -A y / rank`` with ``y = A'w + noise / 2``
and w uniform on the simplex, at full rank (2k columns) and half rank (k/2). Every time is the minimum over repeats of
one call of ``solve``, certificate and tie-break included, one process, one thread, solvers interleaved in random order:
read ratios, never seconds. Writes ``solver_speed.jsonl`` and ``solver_speed.png`` / ``.pdf``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from . import published_way

Record = dict[str, Any]

_TOL = 1e-9
_DIMS = (2, 5, 8, 20, 100, 500, 2000)
_REFERENCE = "cvxpy"
# Above this k a solver takes minutes, or memory beyond a laptop's; such cells are left out and counted.
_LARGEST = {
    "torch": 20,
    "scipy_slsqp": 100,
    "exponentiated_gradient": 100,
    "frank_wolfe": 500,
    "osqp": 500,
    "proxqp": 500,
    "qpsolvers": 500,
    "newton": 2000,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solver_speed", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="k up to 100 and few repeats: under a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/solver_speed"))
    parser.add_argument("--solver", action="append", help="only these solvers (repeatable); auto and cvxpy always run")
    args = parser.parse_args(argv)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"solver_speed: cannot write to --out {args.out}: {error.strerror}", file=sys.stderr)
        return 2
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        records = run(quick=args.quick, seed=args.seed, only=args.solver)
    header = {"kind": "header", "seed": args.seed, "quick": args.quick, **_versions()}
    lines = "".join(json.dumps(record) + "\n" for record in [header, *records])
    _write(args.out / "solver_speed.jsonl", lines.encode())
    print(report(records))
    plot(records, args.out)
    print(f"wrote {args.out / 'solver_speed.jsonl'} and solver_speed.png, .pdf beside it")
    return 0


def run(*, quick: bool, seed: int, only: Sequence[str] | None = None) -> list[Record]:
    """All measurements, as records with a `kind`: cell, overhead, many."""
    from solvers import available_solvers

    names = [n for n in available_solvers() if not only or n in only or n in ("auto", _REFERENCE)]
    records: list[Record] = []
    for k in _DIMS:
        if quick and k > 100:
            continue
        for rank in ("full", "half"):
            cell = _measure_cell(names, k, rank, seed, quick)
            records += cell
            fastest = min((r["ratio"] for r in cell if r["certified"] and r["solver"] != "auto"), default=np.nan)
            auto = next(r for r in cell if r["solver"] == "auto")
            print(f"k = {k}, {rank} rank: auto {auto['ratio']:.4f}, fastest {fastest:.4f} of cvxpy", file=sys.stderr)
    records.append(_measure_overhead(seed))
    records.append(_measure_many(seed, quick))
    records.append(published_way.run(seed=seed, quick=quick))
    return records


def make_qp(k: int, rank: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Data (k, k) and (k,) of one benchmark problem."""
    rng = np.random.default_rng([seed, k, rank == "half"])
    columns = 2 * k if rank == "full" else max(1, k // 2)
    A = rng.normal(size=(k, columns))
    y = rng.dirichlet(np.ones(k)) @ A + 0.5 * rng.normal(size=columns)
    P = A @ A.T / columns
    return 0.5 * (P + P.T), -(A @ y) / columns


def _measure_cell(names: Sequence[str], k: int, rank: str, seed: int, quick: bool) -> list[Record]:
    from solvers import SimplexQP, SolverFailureError, solve

    problems = [SimplexQP(*make_qp(k, rank, 1000 * seed + i)) for i in range(1 if k >= 500 else 3)]
    repeats = 2 if k >= 2000 else 5 if k >= 500 or quick else 40 if k <= 20 else 9
    order = [name for name in names if k <= _LARGEST.get(name, k)]
    best = {name: [np.inf] * len(problems) for name in order}
    gaps = dict.fromkeys(order, 0.0)
    errors: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    for repeat in range(repeats + 1):  # the first round warms imports and caches
        if repeat == 0 and k >= 500:
            continue
        for index in rng.permutation(len(order)):
            name = order[index]
            if repeat > 2 and best[name][0] > 2e-2:  # slow calls need no more repeats to be told from fast ones
                continue
            for i, problem in enumerate(problems):
                began = perf_counter()
                try:
                    result = solve(problem, name, tol=_TOL)
                except SolverFailureError as error:
                    errors[name] = str(error)
                    gaps[name] = np.inf
                    continue
                best[name][i] = min(best[name][i], perf_counter() - began)
                gaps[name] = max(gaps[name], result.relative_gap)
    reference = sum(best[_REFERENCE])
    return [
        {
            "kind": "cell",
            "k": k,
            "rank": rank,
            "solver": name,
            "ratio": sum(best[name]) / reference,
            "seconds": sum(best[name]) / len(problems),
            "gap": gaps[name],
            "certified": gaps[name] <= _TOL,
            "error": errors.get(name),
        }
        for name in order
    ]


def _measure_overhead(seed: int) -> Record:
    """One ``solve(problem, "auto")`` at k = 8 against raw calls of the libraries it may choose."""
    from solvers import SimplexQP, available_solvers, solve

    P, q = make_qp(8, "full", seed)
    problem = SimplexQP(P, q)
    libraries = [name for name in ("piqp", "daqp") if name in available_solvers()]
    calls: dict[str, Callable[[], object]] = {f"raw_{name}": _raw_call(name, P, q) for name in libraries}
    calls["solve"] = lambda: solve(problem)
    calls["construct_and_solve"] = lambda: solve(SimplexQP(P, q))
    best = _interleaved(calls, rounds=15, number=200)
    return {
        "kind": "overhead",
        "k": 8,
        "chosen": solve(problem).solver,
        "raw": {name: best[f"raw_{name}"] for name in libraries},
        "solve": best["solve"],
        "construct_and_solve": best["construct_and_solve"],
    }


def _raw_call(library: str, P: np.ndarray, q: np.ndarray) -> Callable[[], object]:
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


def _measure_many(seed: int, quick: bool) -> Record:
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
    big = np.tile(P, (20, 1, 1)), np.tile(q, (20, 1))
    rate = 20_000 / _interleaved({"big": lambda: solve_many(big)}, rounds=3, number=1)["big"]
    results = solve_many((P, q))
    return {
        "kind": "many",
        "k": 8,
        "n": 1000,
        "ratio_to_cvxpy": best["many"] / (best["cvxpy"] * 1000 / sample),
        "solves_per_second": rate,
        "worst_gap": float((results.gaps / results.scales).max()),
    }


def _interleaved(calls: dict[str, Callable[[], object]], *, rounds: int, number: int) -> dict[str, float]:
    best = dict.fromkeys(calls, np.inf)
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = perf_counter()
            for _ in range(number):
                call()
            best[name] = min(best[name], (perf_counter() - began) / number)
    return best


def report(records: Sequence[Record]) -> str:
    """The tables as text."""
    cells = [r for r in records if r["kind"] == "cell"]
    lines = ["Time relative to a fresh cvxpy/Clarabel call (worst gap of scale); * = gap above 1e-9", ""]
    for rank in ("full", "half"):
        dims = sorted({r["k"] for r in cells})
        lines.append(f"{rank} rank".ljust(24) + "".join(f"k = {k}".rjust(18) for k in dims))
        for name in dict.fromkeys(r["solver"] for r in cells):
            row = name.ljust(24)
            for k in dims:
                found = [r for r in cells if (r["solver"], r["k"], r["rank"]) == (name, k, rank)]
                if not found:
                    row += "-".rjust(18)
                    continue
                star = " " if found[0]["certified"] else "*"
                row += f"{found[0]['ratio']:.4f} ({found[0]['gap']:.0e}){star}".rjust(18)
            lines.append(row)
        row = "auto / fastest".ljust(24)
        for k in dims:
            row += f"{auto_over_fastest(cells, k, rank):.2f}".rjust(17) + " "
        lines += [row, ""]
    for record in records:
        if record["kind"] == "overhead":
            lines += [
                f"k = 8: solve(auto), choosing {record['chosen']}, takes {record['solve'] / raw:.2f}x the raw {library}"
                f" call ({record['construct_and_solve'] / raw:.2f}x with construction and validation of the problem)"
                for library, raw in record["raw"].items()
            ]
        if record["kind"] == "many":
            lines.append(
                f"solve_many, 1000 problems of k = 8: {record['ratio_to_cvxpy']:.5f} of 1000 fresh cvxpy calls, "
                f"{record['solves_per_second']:.0f} solves/s on 20,000, worst gap {record['worst_gap']:.1e} of scale"
            )
        if record["kind"] == "published_way":
            lines.append(
                f"published way, {record['epochs']} epochs, n = {record['n']}: medians of CPU time relative to one "
                "Gram pass and QP, and of the excess of the population and of the training objective"
            )
            for way, population in record["excess"]["population"].items():
                ratio = float(np.median(record["cpu_ratio"].get(way, [1.0])))
                training = float(np.median(record["excess"]["training"][way]))
                lines.append(f"    {way:10} {ratio:6.1f}x   {float(np.median(population)):.1e}   {training:.1e}")
    return "\n".join(lines)


def auto_over_fastest(cells: Sequence[Record], k: int, rank: str) -> float:
    """Time of "auto" over that of the fastest other backend whose gap is certified in this cell."""
    here = [r for r in cells if r["k"] == k and r["rank"] == rank]
    auto = next(float(r["ratio"]) for r in here if r["solver"] == "auto")
    return auto / min((float(r["ratio"]) for r in here if r["certified"] and r["solver"] != "auto"), default=np.nan)


def plot(records: Sequence[Record], out: Path) -> None:
    """Draw ratio against k, one panel a rank; hollow marks are gaps above the tolerance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cells = [r for r in records if r["kind"] == "cell"]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    names = list(dict.fromkeys(r["solver"] for r in cells))
    colours = plt.get_cmap("tab20")
    for axis, rank in zip(axes, ("full", "half"), strict=True):
        for i, name in enumerate(names):
            rows = sorted((r for r in cells if r["solver"] == name and r["rank"] == rank), key=lambda r: r["k"])
            rows = [r for r in rows if np.isfinite(r["ratio"])]
            wide = 2.5 if name == "auto" else 1.0
            axis.plot([r["k"] for r in rows], [r["ratio"] for r in rows], color=colours(i), lw=wide, label=name)
            for r in rows:
                face = colours(i) if r["certified"] else "white"
                axis.plot(r["k"], r["ratio"], "o", ms=4, color=colours(i), markerfacecolor=face)
        axis.set(xscale="log", yscale="log", xlabel="auxiliaries k", title=f"{rank} rank")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("time / fresh cvxpy call")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    for suffix in ("png", "pdf"):
        temporary = out / f".solver_speed.{suffix}.part"
        figure.savefig(temporary, format=suffix, dpi=150)
        os.replace(temporary, out / f"solver_speed.{suffix}")
    plt.close(figure)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _versions() -> Record:
    from importlib.metadata import version

    from threadpoolctl import threadpool_info

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "blas": sorted({f"{p['internal_api']} {p['version']} {p.get('architecture')}" for p in threadpool_info()}),
        **{name: version(name) for name in ("numpy", "scipy", "cvxpy", "clarabel", "piqp")},
    }


if __name__ == "__main__":
    sys.exit(main())
