"""Every method on every problem: ``python -m benchmarks.leaderboard [--quick] [--methods ...] [--problems ...]``.

Methods of :mod:`sfbench.methods` fuse the exact scores of problems of :mod:`sfbench.truths` from a few hundred rows of
data, within budgets that a meter enforces; the judge of :mod:`sfbench.truths` says how far their points are from the
target and which law they follow. ``--methods NEW ... --join FOLDER`` measures methods under a stored table's settings
and adds them to it; ``--merge FOLDER`` merges results of others, a folder with ``submission.json`` (see
``docs/leaderboard.md``). The table, the page and the figure are made of the stored rows.
"""

import argparse
import itertools
import json
import shlex
import sys
from pathlib import Path

from sfbench._validation import did_you_mean
from sfbench.errors import OutputError, SfbenchError
from sfbench.files import prepare_folder, provenance, write_json
from sfbench.methods import as_method, known_methods
from sfbench.truths.catalogue import CATALOGUE

from ..common.claims import exit_code, print_claims, write_claims
from ..common.frame import Options, parse_study, study_parser
from ..common.study import Row, one_line_errors, run_cells, run_settings, write_rows
from .cells import LeaderSpec, run_leader_cell, score_submission
from .claims import evaluate_claims
from .joining import SETTINGS, copy_submissions, join, read_about, read_table, run_record
from .table import ranking, write_pages

PROBLEMS = [
    "line_paper_20_80",
    "line_published",
    "line_k3_m4",
    "plane_k3_m2",
    "embedded_r1_d64",
    "product_paper_4",
    "product_mixture_3",
    "many_k8",
    "duplicates_1e-1",
    "gaussian_shifted_k4_d16",
    "gaussian_scaled_d4_ratio25",
    "heavy_t3",
    "torsion_chain_4",
]
QUICK = ["line_paper_20_80", "line_published", "embedded_r1_d16", "product_mixture_3", "gaussian_scaled_d4_ratio25"]
BUDGETS, QUICK_BUDGETS = (64, 256), (128,)


OPTIONS: Options = {
    "--methods": {"nargs": "*", "help": "names (default: all; module:name for one of your own)"},
    "--problems": {"nargs": "*", "help": "names of sfbench truths list, not discrete (default: thirteen)"},
    "--budgets": {"nargs": "*", "type": int, "help": "evaluations a point (default: 64 256)"},
    "--n": {"type": int, "help": "points (default: 3000)"},
    "--data": {"type": int, "help": "rows of the target's data (default: 512)"},
    "--seeds": {"type": int, "help": "runs of each (default: 2)"},
    "--join": {"type": Path, "help": "folder of a table: run --methods under its settings, add them to it"},
    "--merge": {"type": Path, "help": "folder of a submission: score it and add it to the tables of --out"},
}
LEAST = {"n": 100, "data": 1, "seeds": 1, "budgets": 1}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    quick = "five problems, one budget, 2,000 points, one seed"
    doc, seed, out = (__doc__ or "").split(":")[0], "root seed (default: 0)", "folder for results and pages"
    parser = study_parser("benchmarks.leaderboard", doc, OPTIONS, quick=quick, seed=seed, out=out)
    parser.set_defaults(seed=None)
    args = parse_study(parser, argv, LEAST)
    if args.join is not None:
        if args.merge is not None or args.quick or not args.methods:
            parser.error("--join needs --methods, and neither --quick nor --merge")
        if given := [name for name in SETTINGS if getattr(args, name) is not None]:
            parser.error(f"--{given[0]} is the stored table's with --join; leave it out")
        vars(args).update(read_about(args.join)["settings"])
    for name, value in {"n": 3000, "data": 512, "seeds": 2, "seed": 0}.items():
        setattr(args, name, value if getattr(args, name) is None else getattr(args, name))
    if args.quick:
        args.problems, args.budgets = args.problems or QUICK, args.budgets or list(QUICK_BUDGETS)
        args.n, args.seeds = min(args.n, 2000), 1
    args.methods, args.budgets = args.methods or known_methods(), args.budgets or list(BUDGETS)
    args.problems = args.problems or PROBLEMS
    continuous = [name for name, entry in CATALOGUE.items() if not entry.discrete]
    if unknown := [name for name in args.problems if name not in continuous]:
        close = did_you_mean(unknown[0], continuous)
        parser.error(f"unknown problem {unknown[0]!r}{close}; see sfbench truths list (discrete ones have no scores)")
    if unknown := [name for name in args.methods if ":" not in name and name not in known_methods()]:
        close = did_you_mean(unknown[0], known_methods())
        parser.error(f"unknown method {unknown[0]!r}{close}; known: {', '.join(known_methods())}")
    for name in args.methods:
        try:
            as_method(name)
        except SfbenchError as error:
            parser.error(f"--methods: {error}")
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run what is missing, or merge a submission; write tables, claims, page, figure; exit code 1 if a claim fails."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    if args.merge is not None:
        about, rows = read_about(folder), read_table(folder)
        _keep(folder, args.merge)
    else:
        table = [] if args.join is None else read_table(args.join)
        made = [] if args.join is None else read_about(args.join)["runs"]
        if args.join is None and args.grid == "refuse":
            _refuse_to_drop_rows(args, folder)
        rows = _run(args, folder)
        command = shlex.join(["python", "-m", "benchmarks.leaderboard", *(sys.argv[1:] if argv is None else argv)])
        words = f"{args.n} points, {args.data} rows of data, {args.seeds} seeds; runs that fail count as TV 1."
        about = provenance(args.seed) | {"title": "Leaderboard", "command": command, "words": words}
        rows, runs = join(table, made, rows, run_record(about, args.methods))
        about |= {"settings": {name: getattr(args, name) for name in SETTINGS}, "runs": runs}
        if args.join is not None:
            copy_submissions(args.join, folder)
        write_rows(folder, "leaderboard", rows)
        write_json(folder / "summary.json", about)
    claims = evaluate_claims(rows, about["settings"])
    write_claims(folder, claims)
    for path in sorted((folder / "submissions").glob("*.json")):
        rows += json.loads(path.read_text(encoding="utf-8"))["rows"]
    paths = write_pages(folder, rows, about)
    for budget in sorted({row["budget"] for row in rows}, reverse=True):
        print(f"{budget} evaluations a point:")
        for cells in ranking(rows, budget):
            print("  ", "  ".join(cells[:4]))
    print_claims(claims)
    print("written:", *map(str, paths))
    return exit_code(claims)


def _refuse_to_drop_rows(args: argparse.Namespace, folder: Path) -> None:
    """The table is written anew: rows that this command does not make would be gone."""
    if not (folder / "summary.json").is_file():
        return
    kept = {(row["problem"], row["method"], row["budget"]) for row in read_table(folder)}
    dropped = kept - set(itertools.product(args.problems, args.methods, args.budgets))
    if dropped:
        raise OutputError(
            f"the table in {str(folder)!r} has {len(dropped)} rows that this command does not make, such as "
            f"{min(dropped)}: --join {folder} adds methods to it, --grid replace drops them; or choose another --out"
        )


def _run(args: argparse.Namespace, folder: Path) -> list[Row]:
    specs = [
        LeaderSpec(problem, method, budget, args.n, args.data, seed, args.seed)
        for problem in args.problems
        for budget in args.budgets
        for method in args.methods
        for seed in range(args.seeds)
    ]
    title = f"leaderboard, seed {args.seed}"
    return run_cells(run_leader_cell, specs, title=title, folder=folder, settings=run_settings(args))


def _keep(folder: Path, submission: Path) -> None:
    """Score a submission and keep its rows and provenance; the same name again replaces it."""
    rows = score_submission(submission)
    about = json.loads((submission / "submission.json").read_text(encoding="utf-8"))
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in about["name"])
    record = {"name": about["name"], "provenance": about["provenance"], "rows": rows}
    kept = prepare_folder(folder / "submissions") / f"{name}.json"
    if kept.is_file() and (other := json.loads(kept.read_text(encoding="utf-8"))["name"]) != about["name"]:
        raise OutputError(f"{str(kept)!r} holds the submission {other!r}; choose a name unlike it")
    write_json(kept, record)


if __name__ == "__main__":
    raise SystemExit(main())
