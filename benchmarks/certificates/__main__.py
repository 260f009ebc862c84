"""Do certificates certify? ``python -m benchmarks.certificates``: random problems with exact fused laws.

Three families: mixtures on the line with components down to a standard deviation of 0.005, wider ones, and isotropic
Gaussians in up to 19 dimensions; three processes; weights at a vertex (where the certificate is an equality up to the
prior's mismatch) and inside the simplex. Claimed is that no certificate is below the KL divergence that it bounds; the
control takes J from 16 time nodes, as a fit does, and must be violated.
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
from .cells import FAMILIES, CertificateSpec, run_certificate_cell

FEWEST = 200  # problems of which the control must find one


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.certificates", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--problems", type=int, default=500, help="random problems of each family")
    parser.add_argument("--quick", action="store_true", help="20 problems of each family")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/certificates", help="folder for results and tables")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.problems < 1 or args.jobs < 1 or args.seed < 0:
        parser.error("--problems and --jobs must be at least 1, --seed at least 0")
    if args.quick:
        args.problems = min(args.problems, 20)
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Check every certificate; exit code 1 if one is violated, or if the control is not."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    specs = [CertificateSpec(family, i, args.seed) for family in FAMILIES for i in range(args.problems)]
    title = f"certificates, seed {args.seed}"
    found: list[Row] = run_cells(run_certificate_cell, specs, title=title, folder=folder, settings=run_settings(args))
    rows = [{"family": spec.family, "number": spec.number} | row for spec, row in zip(specs, found, strict=True)]
    write_rows(folder, "certificates", rows)
    write_json(folder / "manifest.json", provenance(args.seed) | {"arguments": vars(args)})
    claims = evaluate_claims(rows)
    write_claims(folder, claims, seed=args.seed, quick=args.quick)
    print_claims(claims)
    return exit_code(claims)


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Violations by family; the control is asked of the narrow family, where few nodes are short."""
    claims = []
    for family in FAMILIES:
        chosen = [row for row in rows if row["family"] == family]
        known = [row["kl"] / row["bound"] for row in chosen if row["bound"] > 1e-3]
        middle = sorted(known)[len(known) // 2]
        note = f"{len(chosen)} problems, median KL over bound {middle:.4f}, largest {max(known):.6f}"
        enough = family == "narrow" and len(chosen) >= FEWEST
        control = sum(not row["coarse_holds"] for row in chosen) if enough else None
        violations = sum(not row["holds"] for row in chosen)
        name = f"violations of the Girsanov certificate, {family}"
        claims.append(within(name, violations, 0, 0, control=control, control_name="J from 16 time nodes", note=note))
    worst = max(row["integral_error"] / max(row["integral"], 1e-3) for row in rows)
    return [*claims, within("largest error of J's time integral over J (or 0.001)", worst, high=1e-3)]


if __name__ == "__main__":
    raise SystemExit(main())
