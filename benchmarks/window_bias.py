"""False alarms and power of the test for window bias: ``python -m benchmarks.window_bias [--draws N] [--seed N]``.

No weights depend on the window for models around the target's score whose average at some w is that score, nor for
``shifted_gaussians``; they do on ``paper_mixture_1d`` with a long window, and hardly with one near zero.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

import sfbench
from synthetic import Law, make_problem

_PROCESS = sfbench.OrnsteinUhlenbeck()


@final
@dataclass(frozen=True, eq=False)
class Around:
    """The target's score plus a fixed combination of directions that change with x and t."""

    base: sfbench.ScoreModel
    others: tuple[sfbench.ScoreModel, ...]
    factors: tuple[float, ...]

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.base.dim

    def score(self, x: Any, t: float) -> Any:
        """Score at points x (n, d) and time t, shape (n, d)."""
        s = self.base.score(x, t)
        return s + sum(c * (other.score(x, t) - s) for c, other in zip(self.factors, self.others, strict=True))


def cases() -> Iterator[tuple[str, Law, Sequence[Any], tuple[int, ...], dict[str, Any], bool]]:
    """Name, target, auxiliaries, sample sizes, options of the fit, and whether the weights depend on the window."""
    for k in (2, 4):
        rng = np.random.default_rng(3)
        laws = make_problem("random_mixtures", d=2, k=k, rng=3).auxiliaries
        base, *others = (sfbench.AnalyticScore(law, _PROCESS) for law in laws)
        w = rng.dirichlet(5 * np.ones(k))
        factors = rng.normal(size=(k, k - 1))
        factors -= w @ factors  # the average at w is the target's score
        models = [Around(base, tuple(others), tuple(row)) for row in factors.tolist()]
        yield f"around the score, k = {k}", laws[0], models, (128, 256, 1024), {}, False
    shifted = make_problem("shifted_gaussians", k=4, d=4, rng=0)
    yield "shifted_gaussians, dsm", shifted.target, shifted.auxiliaries, (256, 1024), {"estimator": "dsm"}, False
    paper = make_problem("paper_mixture_1d", rng=0, scale=6.0, target="barycenter")
    sizes = (64, 256, 1024, 4096)
    short = {"t_min": 1e-4, "t_max": 2e-4}
    yield "paper_mixture_1d, [1e-4, 2e-4]", paper.target, paper.auxiliaries, sizes, short, False
    yield "paper_mixture_1d, [1e-3, 5]", paper.target, paper.auxiliaries, sizes, {"t_min": 1e-3, "t_max": 5.0}, True


def main(argv: list[str] | None = None) -> int:
    """Count warnings; exit code 1 if more than 1 % are false or fewer than 99 % of the true ones are given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.window_bias", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--draws", type=int, default=200, help="fits for each case and size")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the draws")
    args = parser.parse_args(argv)
    if args.draws < 1 or args.seed < 0:
        parser.error("--draws must be at least 1, --seed at least 0")
    good = True
    for name, target, auxiliaries, sizes, options, biased in cases():
        for n in sizes:
            warned, p_values = 0, []
            for draw in range(args.seed, args.seed + args.draws):
                x = target.sample(n, rng=np.random.default_rng([draw, n]))
                result = sfbench.fuse(auxiliaries, x, process=_PROCESS, rng=draw, **options)
                warned += any(text.startswith("window bias") for text in result.warnings)
                if result.window_bias is not None:
                    p_values.append(result.window_bias.p_value)
            low = float(np.mean(np.array(p_values) < 0.01)) if p_values else float("nan")
            print(
                f"{name:32} n = {n:5d}  warned {warned} of {args.draws}  p < 0.01: {low:.3f} of {len(p_values)} tests",
                flush=True,
            )
            share = warned / args.draws
            good &= share >= 0.99 if biased else share <= 0.01
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
