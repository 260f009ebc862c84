r"""Which sampler samples which law, how well, and at what cost: ``python -m benchmarks.sampling_error``.

1. ``laws`` and ``densities``: exact total variation between the fused law ``P_w`` (Fokker-Planck) and the KL barycenter
   ``p_w``, the distance of every sampler and baseline to both, and log Z against quadrature;
2. ``vertices``: at a vertex weight every sampler returns that auxiliary;
3. ``orders`` and ``evaluations``: strong and weak error on shared noise; score evaluations for TV < .01;
4. ``certificate``: exact ``KL(q || P_w)`` against the Girsanov bound over the weights;
5. ``embedded`` and ``products``: the weights' variance follows the rank in which auxiliaries differ, not d;
6. ``cost``: corrected over fused, as a ratio in one process.

Rows are written as CSV and JSON lines, means and spreads over seeds as the table ``summary``, figures as PNG and PDF,
claims with negative controls as ``claims.json``. Exit status 1 if a claim fails.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from sfbench.errors import OutputError
from sfbench.files import prepare_folder, provenance, write_json

from .sampling_claims import evaluate_claims, summary
from .sampling_dimension import embedded, products
from .sampling_experiments import (
    FULL,
    QUICK,
    Row,
    Scale,
    certificate,
    cost,
    densities,
    evaluations,
    laws_and_samplers,
    orders,
)
from .sampling_experiments import vertices as vertices_experiment
from .sampling_figures import draw_figures
from .study import read_rows, write_rows

EXPERIMENTS: dict[str, Callable[[Scale, int], list[Row]]] = {
    "laws": laws_and_samplers,
    "products": products,
    "evaluations": evaluations,
    "orders": orders,
    "embedded": embedded,
    "vertices": vertices_experiment,
    "certificate": certificate,
    "densities": densities,
}


def run_experiment(name: str, scale: Scale, seed: int) -> list[Row]:
    """Rows of one experiment."""
    return EXPERIMENTS[name](scale, seed)


def main(argv: list[str] | None = None) -> int:
    """Run all experiments, write tables and figures, check the claims."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sampling_error", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer seeds and sizes: about a minute")
    parser.add_argument("--seed", type=int, default=1, help="root seed")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*EXPERIMENTS, "cost"],
        help="run this alone, the rest is in --out; repeat",
    )
    parser.add_argument("--out", default="results/sampling_error", help="folder for tables and figures")
    args = parser.parse_args(argv)
    if args.seed < 0 or args.jobs < 1:
        parser.error("--seed must be at least 0 and --jobs at least 1")
    try:
        folder = prepare_folder(args.out)
    except OutputError as error:
        parser.error(str(error))
    scale = QUICK if args.quick else FULL
    started = time.perf_counter()
    from joblib import Parallel, delayed, parallel_config

    wanted = args.only or [*EXPERIMENTS, "cost"]
    rows: dict[str, list[Row]] = {}
    if "cost" in wanted:  # alone: nothing beside it disturbs the ratio
        rows["cost"] = cost(scale, args.seed)
    names = [name for name in EXPERIMENTS if name in wanted]
    with parallel_config(backend="loky", inner_max_num_threads=1) if args.jobs > 1 else parallel_config():
        found = Parallel(n_jobs=args.jobs, batch_size=1)(
            delayed(run_experiment)(name, scale, args.seed) for name in names
        )
    rows |= dict(zip(names, found, strict=True))
    for name, table in rows.items():
        write_rows(folder, name, [row | {"scale": "quick" if args.quick else "full"} for row in table])
    missing = [name for name in (*EXPERIMENTS, "cost") if not (folder / f"{name}.jsonl").exists()]
    if missing:
        print(f"tables in {folder}; claims and figures wait for {', '.join(missing)}")
        return 0
    rows = {name: read_rows(folder, name) for name in (*EXPERIMENTS, "cost")}
    if len({row["scale"] for table in rows.values() for row in table}) > 1:
        parser.error(f"{str(folder)!r} holds tables of quick and of full runs; give --out another folder")
    rows["summary"] = summary(rows["laws"])
    write_rows(folder, "summary", rows["summary"])
    claims: list[dict[str, Any]] = evaluate_claims(rows)
    record = {"claims": claims, "quick": args.quick, "seconds": time.perf_counter() - started}
    write_json(folder / "claims.json", record | provenance(args.seed))
    draw_figures(folder)
    for claim in claims:
        print(f"{'ok  ' if claim['holds'] else 'FAIL'} {claim['claim']}: {claim['measured']}")
        print(f"     control {'fails as it must' if claim['control_fails'] else 'PASSES: the check has no teeth'}")
    print(f"{record['seconds']:.0f} s; tables and figures in {folder}")
    return 0 if all(claim["holds"] and claim["control_fails"] for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
