"""Is the judge right? ``python -m benchmarks.judging``: ``sfbench score`` on samples whose law is known.

Every named problem, every law of it, several independent samples of 5,000 points. Where the stated power is at least
0.99 for all laws of a problem it counts as separable; there the verdict must be right in 95 % of runs. Elsewhere it may
also be "cannot tell", and the law that was drawn from must be refused no more often than the level of the tests allows.
Intervals of 90 % must hold the exact distances in 85 to 95 % of cases; intervals half as wide are the control. Points
of no law of the problem (15 % wider, or half fused law and half barycenter) must be "neither".

Problems that were looked at while the judge was written are reported apart from the others.
"""

import argparse

from sfbench.truths import known_truths
from sfbench.truths.catalogue import CATALOGUE

from ..common.frame import Cells, Study
from .cells import OTHERS, JudgeSpec, run_judge_cell
from .claims import QUICK, evaluate_claims

N = 5000


def cells(args: argparse.Namespace) -> Cells:
    """Independent samples of every law of the problems."""
    draws, names = (min(args.draws, 3), args.problems or QUICK) if args.quick else (args.draws, args.problems)
    specs = [
        JudgeSpec(name, law, N, draw, args.seed)
        for name in names or known_truths()
        for law in _laws(name)
        for draw in range(draws)
    ]
    return {"judging": (run_judge_cell, specs)}


def _laws(name: str) -> list[str]:
    entry = CATALOGUE[name]
    target = entry.params.get("target") == "mixture" or entry.family == "bimodal_from_unimodal"
    laws = ["fused", "barycenter", "mixture", *(["target"] if target else [])]
    return laws if entry.discrete else laws + list(OTHERS)


def check(args: argparse.Namespace) -> None:
    """Only problems that exist."""
    if unknown := sorted(set(args.problems or ()) - set(known_truths())):
        raise ValueError(f"unknown problem {unknown[0]!r}; see sfbench truths list")


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["judging"]),
    title="judging, seed {seed}",
    options={
        "--draws": {"type": int, "default": 5, "help": "samples of each law"},
        "--problems": {"nargs": "*", "help": "names (default: all)"},
    },
    least={"draws": 1},
    check=check,
    quick="six problems, three draws",
    claims_title="The judge of samples",
)


if __name__ == "__main__":
    raise SystemExit(main())
