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
from pathlib import Path
from typing import Any

from sfbench._internal.lazy import did_you_mean
from sfbench.errors import OutputError, SfbenchError
from sfbench.files import prepare_folder, write_json
from sfbench.methods import as_method, known_methods
from sfbench.truths.catalogue import CATALOGUE

from ..common.frame import Cells, Options, Study, Tables
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
    "--methods": {"nargs": "*", "help": "names (default: all); one of your own is file.py:Name or module:Name"},
    "--problems": {"nargs": "*", "help": "names of sfbench truths list, not discrete (default: thirteen)"},
    "--budgets": {"nargs": "*", "type": int, "help": "evaluations a point (default: 64 256)"},
    "--n": {"type": int, "help": "points (default: 3000)"},
    "--data": {"type": int, "help": "rows of the target's data (default: 512)"},
    "--seeds": {"type": int, "help": "runs of each (default: 2)"},
    "--join": {"type": Path, "help": "folder of a table: run --methods under its settings, add them to it"},
    "--merge": {"type": Path, "help": "folder of a submission: score it and add it to the tables of --out"},
}


def check(args: argparse.Namespace) -> None:
    """Complete the arguments, from the stored table's settings with ``--join``; refuse names that nothing has."""
    if args.join is not None:
        if args.merge is not None or args.quick or not args.methods:
            raise ValueError("--join needs --methods, and neither --quick nor --merge")
        if given := [name for name in SETTINGS if getattr(args, name) is not None]:
            raise ValueError(f"--{given[0]} is the stored table's with --join; leave it out")
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
        raise ValueError(
            f"unknown problem {unknown[0]!r}{close}; see sfbench truths list (discrete ones have no scores)"
        )
    if unknown := [name for name in args.methods if ":" not in name and name not in known_methods()]:
        close = did_you_mean(unknown[0], known_methods())
        raise ValueError(f"unknown method {unknown[0]!r}{close}; known: {', '.join(known_methods())}")
    for name in args.methods:
        try:
            as_method(name)
        except SfbenchError as error:
            raise ValueError(f"--methods: {error}") from None


def cells(args: argparse.Namespace) -> Cells:
    """Every problem, budget, method and seed; nothing if a submission is merged."""
    if args.merge is None and args.join is None and args.grid == "refuse":
        _refuse_to_drop_rows(args, args.out)
    ways = itertools.product(args.problems, args.budgets, args.methods, range(args.seeds))
    specs = [LeaderSpec(p, method, budget, args.n, args.data, seed, args.seed) for p, budget, method, seed in ways]
    return {"leaderboard": (run_leader_cell, specs)} if args.merge is None else {}


def gather(args: argparse.Namespace, tables: Tables, about: dict[str, Any]) -> Tables:
    """The new rows, joined to a stored table; or a stored table, with a submission kept beside it."""
    if args.merge is not None:
        read_about(args.out)
        _keep(args.out, args.merge)
        return {"leaderboard": read_table(args.out)}
    table = [] if args.join is None else read_table(args.join)
    made = [] if args.join is None else read_about(args.join)["runs"]
    words = f"{args.n} points, {args.data} rows of data, {args.seeds} seeds; runs that fail count as TV 1."
    rows, runs = join(table, made, tables["leaderboard"], run_record(about, args.methods))
    if args.join is not None:
        copy_submissions(args.join, args.out)
    settings = {name: getattr(args, name) for name in SETTINGS}
    more = {"title": "Leaderboard", "words": words, "settings": settings, "runs": runs}
    write_json(args.out / "summary.json", about | more)
    return {"leaderboard": rows}


def write_report(folder: Path) -> None:
    """The page and the figure of a stored table with its submissions; ranks on the terminal."""
    rows = read_table(folder)
    for path in sorted((folder / "submissions").glob("*.json")):
        rows += json.loads(path.read_text(encoding="utf-8"))["rows"]
    paths = write_pages(folder, rows, read_about(folder))
    for budget in sorted({row["budget"] for row in rows}, reverse=True):
        print(f"{budget} evaluations a point (TV to the target, mean and over seeds):")
        for ranked in ranking(rows, budget):
            print("  ", "  ".join(ranked[:4]))
    print("written:", *map(str, paths))


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


main = Study(
    package=__package__,
    doc=(__doc__ or "").split(":")[0],
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["leaderboard"]),
    title="leaderboard, seed {seed}",
    options=OPTIONS,
    least={"n": 100, "data": 1, "seeds": 1, "budgets": 1},
    defaults={"seed": None},
    check=check,
    gather=gather,
    quick="five problems, one budget, 2,000 points, one seed",
    seed="root seed (default: 0)",
    out="folder for results and pages",
    figures=write_report,
)


if __name__ == "__main__":
    raise SystemExit(main())
