"""k models at the price of one? ``python -m benchmarks.switched``: error against evaluations, by exact fused laws.

Random mixtures on the line (two modes a model, unequal weights) and in a random direction of 16 dimensions (three
modes, equal weights), k = 2 to 64. Both ways use the same schemes; evaluations are those of single models, per point.
The control draws one model for all points at every step. Total variation is taken over 20 cells of equal probability.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.figures import draw
from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    write_rows,
)
from .cells import FAMILIES, Method, OrderSpec, SwitchedSpec, run_order_cell, run_switched_cell

LEVEL = 0.04  # of total variation, some three times the floor
SHARE = 0.7  # of the k-fold gain
SCHEMES = ("exponential", "exponential_2m")
FLOWS = ("ddim", "dpm_solver_2m", "heun")
SPENT = (16, 32, 64, 128, 256)  # evaluations a point by one model


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.switched", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", type=int, nargs="+", default=[2, 4, 16, 64], help="numbers of models")
    parser.add_argument("--problems", type=int, default=3, help="random problems of each family and number of models")
    parser.add_argument("--points", type=int, default=20_000, help="points a run")
    parser.add_argument("--quick", action="store_true", help="k = 2 and 4, one problem, 10,000 points")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/switched", help="folder for results, tables and the figure")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if min(args.models) < 2 or args.problems < 1 or args.points < 1000 or args.jobs < 1 or args.seed < 0:
        parser.error("--models must be at least 2, --problems and --jobs 1, --points 1000, --seed 0")
    if args.quick:
        args.models, args.problems, args.points = [2, 4], 1, min(args.points, 10_000)
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the study; exit code 1 if a claim fails."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    specs = make_specs(args)
    title = f"switched sampling, seed {args.seed}"
    found: list[Row] = run_cells(run_switched_cell, specs, title=title, folder=folder, settings=run_settings(args))
    rows = [vars(spec) | row for spec, row in zip(specs, found, strict=True)]
    write_rows(folder, "switched", rows)
    order_specs = [
        OrderSpec(k, number, method, scheme, args.seed)
        for k in args.models
        for scheme in FLOWS
        for method in ("balanced", "independent", "shared")
        for number in range(args.problems)
    ]
    found = run_cells(
        run_order_cell, order_specs, title=f"{title}, orders", folder=folder / "orders", settings=run_settings(args)
    )
    orders = [vars(spec) | row for spec, row in zip(order_specs, found, strict=True)]
    write_rows(folder, "orders", orders)
    write_json(folder / "manifest.json", provenance(args.seed) | {"arguments": vars(args)})
    draw(folder, lambda: {"switched_tv": figure(rows)})
    claims = [*evaluate_claims(rows), *order_claims(orders)]
    write_claims(folder, claims, seed=args.seed, quick=args.quick)
    print_claims(claims)
    return exit_code(claims)


def make_specs(args: argparse.Namespace) -> list[SwitchedSpec]:
    """All models at 8 to 128 steps, one model a step at 16 to 256, other orders and the control at 256."""
    specs = []
    for family in FAMILIES:
        for k in args.models:
            for number in range(args.problems):
                runs: list[tuple[Method, str, int]] = [("all", s, steps // 2) for s in SCHEMES for steps in SPENT]
                runs += [("balanced", s, steps) for s in SCHEMES for steps in SPENT]
                runs += [("independent", SCHEMES[0], SPENT[-1]), ("shared", SCHEMES[0], SPENT[-1])]
                runs += [("one for all", SCHEMES[0], SPENT[-1])]
                specs += [SwitchedSpec(family, k, number, *run, args.points, args.seed) for run in runs]
    return specs


def evaluations_at(rows: Sequence[Row], level: float = LEVEL) -> float:
    """Evaluations at which total variation (rows by increasing evaluations) falls to a level, interpolated in
    logarithms; the first if it is below from the start, infinite if it never is.
    """
    ordered = sorted((row["evaluations"], row["tv"]) for row in rows)
    if ordered[0][1] <= level:
        return float(ordered[0][0])
    for (few, high), (many, low) in pairwise(ordered):
        if low <= level < high:
            share = np.log(high / level) / np.log(high / low)
            return float(few * (many / few) ** share)
    return float("inf")


def gain(rows: Sequence[Row], scheme: str | None) -> float:
    """Evaluations of all models over those of one a step, of a scheme, or of each side's best for None."""
    spent = {}
    for method in ("all", "balanced"):
        schemes = SCHEMES if scheme is None else (scheme,)
        chosen = [[r for r in rows if r["method"] == method and r["scheme"] == s] for s in schemes]
        spent[method] = min(evaluations_at(c) for c in chosen)
    return spent["all"] / spent["balanced"]


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """The gain by family and number of models: required of ancestral steps up to k = 16, reported of the rest."""
    claims = []
    for family in FAMILIES:
        for k in sorted({row["k"] for row in rows}):
            chosen = [row for row in rows if row["family"] == family and row["k"] == k]
            by_number = [[r for r in chosen if r["number"] == number] for number in {r["number"] for r in chosen}]
            for scheme in (SCHEMES[0], None):
                gains = sorted(gain(group, scheme) for group in by_number)
                middle = float(np.median(gains))
                name = f"{family}, k = {k}: times fewer evaluations at TV {LEVEL}, " + (
                    "ancestral steps both" if scheme else "best of two schemes both"
                )
                required = SHARE * k if scheme and k <= 16 else None
                note = f"{len(gains)} problems, gains {', '.join(f'{g:.3g}' for g in gains)}; k = {k}"
                claims.append(within(name, middle, required, note=note))
    last = [row for row in rows if row["steps"] == SPENT[-1] and row["scheme"] == SCHEMES[0]]
    worst = {m: max(r["tv"] - r["floor"] for r in last if r["method"] == m) for m in ("balanced", "one for all")}
    name = f"worst TV above the floor at {SPENT[-1]} evaluations, ancestral steps"
    claims.append(
        within(name, worst["balanced"], high=0.02, control=worst["one for all"], control_name="one model for all")
    )
    others = ("independent", "shared")
    worst |= {method: max(r["tv"] - r["floor"] for r in last if r["method"] == method) for method in others}
    return [*claims, *(within(f"{name}, {method} order", worst[method]) for method in others)]


def order_claims(rows: Sequence[Row]) -> list[Claim]:
    """Weak orders of the flow's schemes: two for balanced choices and schemes of order 2, one for independent ones."""
    claims = []
    for scheme in FLOWS:
        for k in sorted({row["k"] for row in rows}):
            found = {
                method: sorted(r["order"] for r in rows if (r["k"], r["scheme"], r["method"]) == (k, scheme, method))
                for method in ("balanced", "independent", "shared")
            }
            middle = {method: float(np.median(values)) for method, values in found.items()}
            required = 1.6 if scheme != "ddim" and k <= 16 else None
            note = (
                f"shared {middle['shared']:.3g}; {len(found['balanced'])} problems, {found['balanced'][0]:.3g} at least"
            )
            name = f"weak order of {scheme}, balanced choices, k = {k}"
            control = middle["independent"]
            claims.append(
                within(name, middle["balanced"], required, control=control, control_name="independent", note=note)
            )
    return claims


def figure(rows: Sequence[Row]) -> Any:
    """Total variation against evaluations, a panel per number of models (family "line", mean over problems)."""
    import matplotlib.pyplot as plt

    models = sorted({row["k"] for row in rows})
    fig, axes = plt.subplots(1, len(models), figsize=(2.6 * len(models), 2.8), sharey=True, squeeze=False)
    for axis, k in zip(axes[0], models, strict=True):
        for method, colour in (("all", "C0"), ("balanced", "C1")):
            for scheme, style in zip(SCHEMES, ("--", "-"), strict=True):
                chosen = [
                    r for r in rows if (r["family"], r["k"], r["method"], r["scheme"]) == ("line", k, method, scheme)
                ]
                spent = sorted({r["evaluations"] for r in chosen})
                tv = [np.mean([r["tv"] for r in chosen if r["evaluations"] == e]) for e in spent]
                label = f"{'all models' if method == 'all' else 'one a step'}, {scheme.replace('_', ' ')}"
                axis.loglog(spent, tv, style, color=colour, marker="o", markersize=3, label=label)
        axis.axhline(np.mean([r["floor"] for r in rows if r["k"] == k]), color="grey", linewidth=0.8)
        axis.set(title=f"k = {k}", xlabel="evaluations a point", xlim=(10.0, 1.3e4))
    axes[0][0].set_ylabel("total variation to $P_w$")
    axes[0][0].legend(fontsize=6, loc="upper right")
    return fig


if __name__ == "__main__":
    raise SystemExit(main())
