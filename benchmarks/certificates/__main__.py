"""Do certificates certify? ``python -m benchmarks.certificates``: random problems with exact fused laws.

Three families: mixtures on the line with components down to a standard deviation of 0.005, wider ones, and isotropic
Gaussians in up to 19 dimensions; three processes; weights at a vertex (where the certificate is an equality up to the
prior's mismatch) and inside the simplex. Claimed is that no certificate is below the KL divergence that it bounds; the
control takes J from 16 time nodes, as a fit does, and must be violated.
"""

import argparse

from ..common.frame import Cells, Study
from .cells import FAMILIES, CertificateSpec, run_certificate_cell
from .claims import evaluate_claims


def cells(args: argparse.Namespace) -> Cells:
    """All problems of every family."""
    count = min(args.problems, 20) if args.quick else args.problems
    return {
        "certificates": (
            run_certificate_cell,
            [CertificateSpec(family, i, args.seed) for family in FAMILIES for i in range(count)],
        )
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["certificates"]),
    title="certificates, seed {seed}",
    options={"--problems": {"type": int, "default": 500, "help": "random problems of each family"}},
    least={"problems": 1},
    quick="20 problems of each family",
    label=lambda spec: {"family": spec.family, "number": spec.number},
)


if __name__ == "__main__":
    raise SystemExit(main())
