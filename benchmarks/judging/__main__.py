"""Is the judge right? ``python -m benchmarks.judging``: ``sfbench score`` on samples whose law is known.

Every named problem, every law of it, several independent samples of 5,000 points. Where the stated power is at least
0.99 for all laws of a problem it counts as separable; there the verdict must be right in 95 % of runs. Elsewhere it may
also be "cannot tell", and the law that was drawn from must be refused no more often than the level of the tests allows.
Intervals of 90 % must hold the exact distances in 85 to 95 % of cases; intervals half as wide are the control. Points
of no law of the problem (15 % wider, or half fused law and half barycenter) must be "neither".

Problems that were looked at while the judge was written are reported apart from the others.
"""

import argparse
import shlex
import sys

import numpy as np

from sfbench.files import prepare_folder, provenance
from sfbench.truths import known_truths
from sfbench.truths.catalogue import CATALOGUE

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    write_rows,
)
from .cells import OTHERS, JudgeSpec, run_judge_cell

SEEN = {
    "line_paper",
    "line_published",
    "line_k3_m4",
    "product_paper_4",
    "discrete_potts_6",
    "gaussian_scaled_d16_ratio4",
    "duplicates_1e-1",
    "embedded_r1_d64",
}
QUICK = [
    "line_k2_m2",
    "line_k3_m2",
    "product_mixture_3",
    "discrete_chain",
    "gaussian_shifted_k4_d16",
    "duplicates_1e-2",
]
SEEN |= set(QUICK)  # the intervals were redesigned after a quick run had failed
POWER = 0.99
N = 5000


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.judging", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=5, help="samples of each law")
    parser.add_argument("--problems", nargs="*", help="names (default: all)")
    parser.add_argument("--quick", action="store_true", help="six problems, three draws")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/judging", help="folder for results and tables")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.draws < 1 or args.jobs < 1 or args.seed < 0:
        parser.error("--draws and --jobs must be at least 1, --seed at least 0")
    if unknown := sorted(set(args.problems or ()) - set(known_truths())):
        parser.error(f"unknown problem {unknown[0]!r}; see sfbench truths list")
    if args.quick:
        args.draws, args.problems = min(args.draws, 3), args.problems or QUICK
    args.problems = args.problems or known_truths()
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Judge samples; exit code 1 if a claim fails."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    specs = [
        JudgeSpec(name, law, N, draw, args.seed)
        for name in args.problems
        for law in _laws(name)
        for draw in range(args.draws)
    ]
    title = f"judging, seed {args.seed}"
    rows: list[Row] = run_cells(run_judge_cell, specs, title=title, folder=folder, settings=run_settings(args))
    write_rows(folder, "judging", rows)
    claims = evaluate_claims(rows)
    command = shlex.join(["python", "-m", "benchmarks.judging", *(sys.argv[1:] if argv is None else argv)])
    write_claims(folder, claims, **provenance(args.seed) | {"command": command})
    print_claims(claims, "The judge of samples")
    return exit_code(claims)


def _laws(name: str) -> list[str]:
    entry = CATALOGUE[name]
    target = entry.params.get("target") == "mixture" or entry.family == "bimodal_from_unimodal"
    laws = ["fused", "barycenter", "mixture", *(["target"] if target else [])]
    return laws if entry.group == "discrete" else laws + list(OTHERS)


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Verdicts on separable problems, seen and held out; on the others; intervals; points of no law."""
    own = [row for row in rows if row["law"] not in OTHERS]
    weakest = {name: min(row["power"] for row in own if row["problem"] == name) for name in {r["problem"] for r in own}}
    clear = [row for row in own if weakest[row["problem"]] >= POWER]
    claims = []
    for group, chosen in (
        ("held-out", [row for row in clear if row["problem"] not in SEEN]),
        ("seen", [row for row in clear if row["problem"] in SEEN]),
    ):
        if chosen:
            right = float(np.mean([row["verdict"] == row["law"] for row in chosen]))
            note = f"{len(chosen)} runs, {len({row['problem'] for row in chosen})} problems"
            claims.append(within(f"verdict right, separable {group} problems", right, low=0.95, note=note))
    unclear = [row for row in own if weakest[row["problem"]] < POWER]
    if unclear:
        wrong = float(np.mean([row["law"] not in row["compatible"].split(", ") for row in unclear]))
        open_ = float(np.mean([row["verdict"] == "cannot tell" for row in unclear]))
        note = f"{len(unclear)} runs, {len({row['problem'] for row in unclear})} problems; cannot tell in {open_:.1%}"
        claims.append(within("true law refused, other problems", wrong, high=0.03, note=note))
        hopeless = [row for row in unclear if row["power"] < 0.05]
        if hopeless:
            told = float(np.mean([row["verdict"] == "cannot tell" for row in hopeless]))
            name = 'says "cannot tell" where power is below 5 %'
            claims.append(within(name, told, low=0.95, note=f"{len(hopeless)} runs"))
    for group, seen in (("held-out", False), ("seen", True)):
        chosen = [row for row in own if (row["problem"] in SEEN) == seen]
        for kind, words in (("tv", "total variation"), ("kl", "KL up to 2 nats"), ("mass", "mode masses")):
            cases = sum(row[f"{kind}_of"] for row in chosen)
            if cases < 30:
                continue
            share, half = (sum(row[key] for row in chosen) / cases for key in (kind, f"{kind}_half"))
            claim = f"90 % intervals of {words} hold the truth, {group} problems"
            note = f"{cases} intervals"
            claims.append(within(claim, share, 0.85, 0.95, control=half, control_name="half as wide", note=note))
    for law, words in (("scaled", "15 % wider than the fused law"), ("blended", "half fused, half barycenter")):
        chosen = [row for row in rows if row["law"] == law and weakest[row["problem"]] >= POWER]
        if chosen:
            none = float(np.mean([row["verdict"] == "neither" for row in chosen]))
            claims.append(within(f'points {words} are "neither"', none, low=0.9, note=f"{len(chosen)} runs"))
    return claims


if __name__ == "__main__":
    raise SystemExit(main())
