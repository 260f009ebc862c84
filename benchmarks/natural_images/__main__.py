"""Does fusing help patches of photographs? ``python -m benchmarks.natural_images [--quick] [--device cuda]``.

U-Nets of the left halves of two photos are fused by weights fitted to 16 to 256 patches of their right halves, and
compared with equal weights, merged parameters, the arithmetic mixture, the nearest network and fine-tuning of the
merged one, by the denoising loss on patches of other regions; cost and quality against d = 3 px^2, over trainings.
"""

import argparse

from ..common.frame import Cells, Study
from ..common.networks import use_device
from .cells import NaturalSpec, run_cell
from .claims import evaluate_claims


def cells(args: argparse.Namespace) -> Cells:
    """One cell for each size of patch and training: its networks are trained once."""
    on_gpu = args.device != "cpu"
    sides = (8, 16, 32) if args.quick else (8, 16, 32, 64)
    channels = (64, 128, 256) if on_gpu else (16, 32)
    steps, draws = (100, 1) if args.quick else (4000, 2) if on_gpu else (400, 1)
    again = () if args.quick else sides if on_gpu else (8, 32)  # sizes of the second training
    trainings = [*((args.seed, px) for px in sides), *((args.seed + 10, px) for px in again)]  # each has own draws
    specs = [NaturalSpec(px, channels, steps, (16, 64, 256), 64, draws, seed) for seed, px in trainings]
    return {"natural_images": (run_cell, specs)}


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["natural_images"]),
    options={"--device": {"default": "cpu", "help": "torch device of the networks (cpu, cuda)"}},
    check=lambda args: use_device(args.device),
    quick="fewer steps, one training and draw, no 64 px: a minute",
    seed="of the first training and its draws; the second has seed + 10",
)


if __name__ == "__main__":
    raise SystemExit(main())
