"""The study that :mod:`benchmarks.faults` kills: ``python -m benchmarks.faults.study DIR``."""

import argparse
import sys

from sfbench.errors import SfbenchError
from sfbench.experiments import RunSettings, run_study

from .cells import fault_study


def main(argv: list[str] | None = None) -> int:
    """Run or resume the study; what the injecting process starts and kills."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.study")
    parser.add_argument("folder")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--least-ms", type=float, default=5.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--scheduler")
    parser.add_argument("--time-limit", type=float)
    args = parser.parse_args(argv)
    settings = RunSettings(n_jobs=args.jobs, scheduler=args.scheduler, time_limit=args.time_limit, progress=False)
    try:
        _, outcome = run_study(fault_study(args.cells, args.least_ms), args.folder, settings)
    except (SfbenchError, OSError) as error:
        print(f"benchmarks.faults_study: {error}", file=sys.stderr)
        return 2
    print(outcome.summary())
    return outcome.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
