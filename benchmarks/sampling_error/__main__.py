"""Which sampler samples which law, how well, and at what cost: ``python -m benchmarks.sampling_error``.

1. ``laws`` and ``densities``: exact total variation between the fused law ``P_w`` (Fokker-Planck) and the KL barycenter
   ``p_w``, the distance of every sampler and baseline to both, and log Z against quadrature;
2. ``vertices``: at a vertex weight every sampler returns that auxiliary;
3. ``orders`` and ``evaluations``: strong and weak error on shared noise; score evaluations for TV < 0.01;
4. ``certificate``: exact ``KL(q || P_w)`` against the Girsanov bound over the weights;
5. ``embedded`` and ``products``: the weights' variance follows the rank in which auxiliaries differ, not d;
6. ``windows`` and ``trust``: narrow modes, wide data and random problems: what is wrong is not trusted, what is right
   is, and log Z is within its stated error;
7. ``cost``: corrected over fused, as a ratio in one process, timed before anything else runs, and the check of steps.

Each experiment is a study of ``journal.sqlite`` in the output folder: a command that was stopped goes on where it was.
Rows are written as CSV and JSON lines, means and spreads over seeds as the table ``summary``, figures as PNG and PDF,
claims with negative controls as ``claims.json``. Exit status 1 if a claim fails.
"""

import argparse
import sys
import time
from pathlib import Path

from sfbench.errors import SfbenchError
from sfbench.files import prepare_folder, provenance

from ..common.claims import Claim, exit_code, print_claims, write_claims
from ..common.frame import parse_study, rows_of, study_parser
from ..common.study import (
    Phases,
    Row,
    one_line_errors,
    read_rows,
    run_settings,
    write_rows,
)
from .claims import evaluate_claims, summary
from .experiments import EXPERIMENTS, FULL, QUICK
from .figures import draw_figures


def run_experiment(name: str, args: argparse.Namespace, run: Phases) -> None:
    """Compute what is missing of an experiment and write its table."""
    experiment = EXPERIMENTS[name]
    scale = "quick" if args.quick else "full"
    specs = experiment.grid(QUICK if args.quick else FULL, args.seed)
    title = f"{name}, seed {args.seed}{', quick' if args.quick else ''}"
    rows = rows_of(specs, run(experiment.run_cell, specs, title))
    write_rows(run.folder, name, [row | {"scale": scale, "root_seed": args.seed} for row in rows])


def judge(folder: Path, args: argparse.Namespace, seconds: float) -> list[Claim]:
    """Claims on the tables of a folder, all of one scale and seed; the figures are drawn beside them."""
    rows: dict[str, list[Row]] = {name: read_rows(folder, name) for name in EXPERIMENTS}
    kinds = {(row["scale"], row["root_seed"]) for table in rows.values() for row in table}
    if len(kinds) > 1:
        found = ", ".join(f"{scale} with seed {seed}" for scale, seed in sorted(kinds))
        raise SfbenchError(f"{str(folder)!r} holds tables of different runs ({found}); give --out another folder")
    rows["summary"] = summary(rows["laws"])
    write_rows(folder, "summary", rows["summary"])
    claims = evaluate_claims(rows)
    record = {"quick": args.quick, "seconds": seconds, "arguments": vars(args)}
    write_claims(folder, claims, **record, **provenance(args.seed))
    draw_figures(folder)
    return claims


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run all experiments, write tables and figures, check the claims."""
    words = "run this alone, the rest is in --out; repeat"
    options = {"--only": {"action": "append", "choices": [*EXPERIMENTS], "help": words}}
    quick = "fewer seeds and sizes: about six minutes on one busy core"
    parser = study_parser(__package__, __doc__, options, quick=quick, out="folder for results, tables and figures")
    parser.set_defaults(seed=1)
    args = parse_study(parser, argv)
    started = time.monotonic()
    folder = prepare_folder(args.out)
    run = Phases(folder, run_settings(args), started)
    for name in [name for name in EXPERIMENTS if name in (args.only or EXPERIMENTS)]:
        run_experiment(name, args, run)
    if missing := [name for name in EXPERIMENTS if not (folder / f"{name}.jsonl").exists()]:
        print(f"tables in {folder}; claims and figures wait for {', '.join(missing)}")
        return 0
    claims = judge(folder, args, time.monotonic() - started)
    print_claims(claims)
    print(f"{time.monotonic() - started:.0f} s; tables and figures in {folder}")
    return exit_code(claims)


if __name__ == "__main__":
    sys.exit(main())
