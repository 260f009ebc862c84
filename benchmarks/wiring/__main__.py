"""Are mis-wired networks named? ``python -m benchmarks.wiring``: twelve mistakes with trained networks, and none.

Networks predict the noise of 8x8 digits at steps 0 to 999: of digits 0-3, 3-6 and 6-9. Each is wired wrongly in twelve
ways and in three pairs of ways, on digits that it knows; and rightly on ten batches of them, of which half hold as many
digits that it never saw. Claimed is that the check, on 64 rows, names every mistake with its cause and says nothing of
right wirings; each is the other's negative control. With 32 rows, as a fit looks, it is reported.
"""

import argparse

from sfbench.files import prepare_folder, provenance, write_json

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
from .cells import GROUPS, ROWS, WiringSpec, run_wiring_cell

STEPS = {"mlp": 1000, "unet": 800}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.wiring", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=["mlp", "unet"], default=["mlp", "unet"], help="networks")
    parser.add_argument("--quick", action="store_true", help="perceptrons only")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/wiring", help="folder for results and tables")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.jobs < 1 or args.seed < 0:
        parser.error("--jobs must be at least 1, --seed at least 0")
    if args.quick:
        args.kinds = ["mlp"]
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Wire networks wrongly; exit code 1 if a mistake is not named, or a right wiring is."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    steps = {kind: STEPS[kind] for kind in args.kinds}
    specs = [WiringSpec(kind, group, steps[kind], args.seed) for kind in args.kinds for group in range(len(GROUPS))]
    title = f"wiring, seed {args.seed}"
    found: list[list[Row]] = run_cells(run_wiring_cell, specs, title=title, folder=folder, settings=run_settings(args))
    rows = [row for cell in found for row in cell]
    write_rows(folder, "wiring", rows)
    write_json(folder / "manifest.json", provenance(args.seed) | {"arguments": vars(args)})
    claims = evaluate_claims(rows)
    write_claims(folder, claims, seed=args.seed, kinds=args.kinds)
    print_claims(claims)
    return exit_code(claims)


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Mistakes that were named, and right wirings that were, by kind of network and number of rows."""
    claims = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for count in ROWS:
            chosen = [row for row in rows if row["kind"] == kind and row["rows"] == count]
            right = [row for row in chosen if not row["expected"]]
            wrong = [row for row in chosen if row["expected"] and not row["wiring"].startswith("pair")]
            pairs = [row for row in chosen if row["wiring"].startswith("pair")]
            alarms = sum(bool(row["said"]) for row in right)
            detected = sum(bool(row["said"]) for row in wrong)
            named = sum(row["named"] for row in wrong)
            required = count == ROWS[0]
            missed = ", ".join(f"{row['wiring']} of network {row['group']}" for row in wrong if not row["named"])
            losses = f"median loss of right wirings {sorted(row['loss'] for row in right)[len(right) // 2]:.3f}"
            claims += [
                within(
                    f"mistakes named with their cause, {kind}, {count} rows",
                    named,
                    len(wrong) if required else None,
                    control=alarms if required else None,
                    control_name="right wirings named",
                    note=f"of {len(wrong)}; {detected} detected" + (f"; not named: {missed}" if missed else ""),
                ),
                within(
                    f"alarms over right wirings, {kind}, {count} rows",
                    alarms,
                    high=0 if required else None,
                    control=detected if required else None,
                    control_name="mistakes detected",
                    note=f"of {len(right)}; {losses} of the linear predictor's",
                ),
                within(
                    f"pairs of mistakes named with both causes, {kind}, {count} rows",
                    sum(row["named"] for row in pairs),
                    note=f"of {len(pairs)}; {sum(bool(row['said']) for row in pairs)} detected",
                ),
            ]
    return claims


if __name__ == "__main__":
    raise SystemExit(main())
