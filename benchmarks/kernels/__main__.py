r"""Speed and memory of the numerical kernels as ratios in one process: ``python -m benchmarks.kernels``.

1. mixture score against the floor of its two matrix products (output allocated by both), and against peers:
   torch.distributions + autograd, torch.func, scikit-learn + finite differences;
2. d-free Gram statistics against our own streaming pass, and their agreement;
3. the sweep of 8 n x 5 d x 4 k x 50 seeds = 8,000 cells.

Contenders run in turn, A B A B ..., in CPU time; the ratio of minima is reported with the spread of the paired ratios.
Read ratios, never seconds. Ratios must be taken in one process and nothing but times is measured, so this benchmark
does not run on the study engine.
"""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from sfbench import AnalyticScore, OrnsteinUhlenbeck
from sfbench.files import prepare_folder, provenance, write_json
from sfbench.processes.times import time_grid
from sfbench.statistics.passes import accumulate, score_gram, simulated_grams
from sfbench.statistics.samples import data_source
from sfbench.statistics.settings import GramSettings
from solvers import solve_many
from synthetic import GaussianMixture, make_problem

from ..common.study import OneLineParser, Row, one_line_errors, write_rows
from ..common.timing import interleaved, ratio

SHAPES = ((100_000, 2, 4), (100_000, 64, 16), (10_000, 784, 32))
_FLOOR_CHUNKS = (512, 2048, 8192)
_FLOORS = ("two products", "two products and two passes", "two products, two passes and weights")


# ---------------------------------------------------------------------- mixture scores
def _mixture(n: int, d: int, m: int, dtype: type) -> tuple[GaussianMixture, np.ndarray]:
    rng = np.random.default_rng(0)
    mixture = GaussianMixture(np.full(m, 1 / m), rng.standard_normal((m, d)), rng.uniform(0.5, 1.5, m))
    return mixture, mixture.sample(n, rng=1).astype(dtype)


def _floor(
    x: np.ndarray, means: np.ndarray, rows: int, passes: bool = False, weights: bool = False
) -> Callable[[], object]:
    """Two bare products; with ``passes``, also what unequal variances need: norms of the points and a multiple of them.

    The multiple is what the second product accumulates into, as in the kernel. With ``weights`` the rows between the
    products become weights of sum 1, which no evaluation of a mixture's score can do without.
    """
    from scipy.linalg import blas

    gemm = blas.dgemm if x.dtype == np.float64 else blas.sgemm

    def run() -> object:
        out = np.empty_like(x)
        for start in range(0, len(x), rows):
            points, part = x[start : start + rows], out[start : start + rows]
            if not passes:
                np.matmul(points @ means.T, means, out=part)
                continue
            norms = np.vecdot(points, points)
            joint = points @ means.T
            if weights:
                joint = np.ascontiguousarray(joint.T)
                joint -= joint.max(axis=0)
                np.exp(joint, out=joint)
                joint /= joint.sum(axis=0)
                joint = joint.T
            np.multiply(points, norms[:, None], out=part)
            gemm(1.0, means.T, joint.T, beta=1.0, c=part.T, overwrite_c=1)
        return out

    return run


def score_rows(repeats: int) -> list[Row]:
    """Share reached of three floors, and extra memory: two products; with two passes; with the weights as well."""
    rows = []
    for n, d, m in SHAPES:
        for dtype in (np.float64, np.float32):
            mixture, x = _mixture(n, d, m, dtype)
            means = np.ascontiguousarray(mixture.means.astype(dtype))
            score: Callable[[], object] = lambda mixture=mixture, x=x: mixture.score(x)  # type: ignore[misc]  # noqa: E731
            tracemalloc.start()
            out = mixture.score(x)
            peak = tracemalloc.get_traced_memory()[1] - out.nbytes
            tracemalloc.stop()
            kinds = ((False, False), (True, False), (True, True))
            floors = [_floor(x, means, rows_, *kind) for kind in kinds for rows_ in _FLOOR_CHUNKS]
            seconds = interleaved([*floors, score], repeats)
            for i, name in enumerate(_FLOORS):
                chunks = slice(3 * i, 3 * i + 3)
                best = chunks.start + int(seconds[:, chunks].min(axis=0).argmin())
                share, low, high = ratio(seconds, best, len(floors))
                rows.append(
                    {
                        "what": f"score / floor of {name}",
                        "n": n,
                        "d": d,
                        "m": m,
                        "dtype": np.dtype(dtype).name,
                        "value": share,
                        "low": low,
                        "high": high,
                        "extra_mb": peak / 2**20,
                    }
                )
    return rows


def _torch_peers(mixture: GaussianMixture, x: np.ndarray) -> dict[str, Callable[[], object]]:
    import torch
    from torch import distributions as td

    torch.set_num_threads(1)
    means, variances = torch.tensor(mixture.means), torch.tensor(mixture.spectrum.values)
    logits = torch.log(torch.tensor(mixture.weights))
    law: Any = td.MixtureSameFamily(
        td.Categorical(logits=logits), td.Independent(td.Normal(means, variances.sqrt().expand_as(means)), 1)
    )
    points = torch.as_tensor(x)

    def autograd() -> object:
        leaf = points.detach().clone().requires_grad_()
        return torch.autograd.grad(law.log_prob(leaf).sum(), leaf)[0]

    d = mixture.dim

    def log_prob(point: Any) -> Any:
        squares = ((point - means) ** 2).sum(-1) / variances[:, 0]
        return torch.logsumexp(logits - 0.5 * squares - 0.5 * d * torch.log(variances[:, 0]), 0)

    per_point: Any = torch.func.vmap(torch.func.grad(log_prob), chunk_size=8192)
    return {"torch.distributions + autograd": autograd, "torch.func": lambda: per_point(points)}


def _sklearn_peer(mixture: GaussianMixture, x: np.ndarray) -> Callable[[], object]:
    from sklearn.mixture import GaussianMixture as SklearnMixture

    model = SklearnMixture(mixture.n_components, covariance_type="spherical")
    model.weights_, model.means_ = mixture.weights, mixture.means
    model.covariances_ = mixture.spectrum.values[:, 0]
    model.precisions_cholesky_ = 1 / np.sqrt(model.covariances_)

    def differences() -> object:
        out, step = np.empty_like(x), 1e-5
        for e in range(x.shape[1]):
            shift = np.zeros(x.shape[1])
            shift[e] = step
            out[:, e] = (model.score_samples(x + shift) - model.score_samples(x - shift)) / (2 * step)
        return out

    return differences


def peer_rows(repeats: int) -> list[Row]:
    """Times of peers over ours at d = 2 and 64."""
    rows = []
    for n, d, m in ((100_000, 2, 4), (20_000, 64, 16)):
        mixture, x = _mixture(n, d, m, np.float64)
        peers = _torch_peers(mixture, x)
        if d == 2:
            peers["scikit-learn + finite differences"] = _sklearn_peer(mixture, x)
        ours: Callable[[], object] = lambda mixture=mixture, x=x: mixture.score(x)  # type: ignore[misc]  # noqa: E731
        seconds = interleaved([ours, *peers.values()], repeats)
        for i, name in enumerate(peers, start=1):
            value, low, high = ratio(seconds, i, 0)
            rows.append({"what": f"{name} / ours", "n": n, "d": d, "m": m, "value": value, "low": low, "high": high})
    return rows


# ---------------------------------------------------------------------- Gram statistics
def gram_rows(repeats: int) -> list[Row]:
    """Streaming over d-free time at n = 4000, d = 784, k = 4, 16 nodes, by components per model."""
    rows = []
    n, d, k = 4000, 784, 4
    for m, equal in ((1, False), (2, False), (4, False), (8, False), (4, True)):
        rng = np.random.default_rng(0)
        models = [
            GaussianMixture(np.full(m, 1 / m), rng.standard_normal((m, d)), 1.0 if equal else rng.uniform(0.5, 1.5, m))
            for _ in range(k)
        ]
        x = models[0].sample(n, rng=1)
        settings = GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 16))
        whole = [AnalyticScore(law, settings.process) for law in models]  # of which no reduction is known
        streamed = score_gram(whole, x, settings, rng=2)
        source = data_source(models, x, settings, np.random.default_rng(2), ambient=True)  # the same noise, projected
        reduced = accumulate(source, settings, [n])[0].at()
        error = max(
            float(np.abs(reduced.G - streamed.G).max() / np.abs(streamed.G).max()),
            float(np.abs(reduced.b - streamed.b).max() / max(np.abs(streamed.b).max(), np.abs(streamed.G).max())),
        )

        def free(models: Any = models, x: Any = x, settings: GramSettings = settings) -> object:
            return score_gram(models, x, settings, rng=2)

        def stream(models: Any = whole, x: Any = x, settings: GramSettings = settings) -> object:
            return score_gram(models, x, settings, rng=2)

        value, low, high = ratio(interleaved([stream, free], max(2, repeats // 3)), 0, 1)
        name = "streaming Gram / d-free Gram" + (", equal variances" if equal else "")
        rows.append({"what": name, "n": n, "d": d, "m": m, "value": value, "low": low, "high": high, "error": error})
    return rows


def sweep_rows(seeds: int) -> list[Row]:
    """CPU seconds of 8 n x 5 d x 4 k x seeds cells: one pass per (d, seed), prefixes over n, leading models over k."""
    sizes, dims, counts = [64 * 2**i for i in range(8)], (16, 64, 256, 1024, 4096), (2, 4, 8, 16)
    settings = GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 16))
    rows = []
    for name in ("shifted_gaussians", "embedded_mixture"):
        start, cells, gap = time.process_time(), 0, 0.0
        for d in dims:
            problem = make_problem(name, d=d, k=max(counts), rng=0)
            grams = [
                gram
                for seed in range(seeds)
                for gram in simulated_grams(
                    problem.auxiliaries, problem.target, settings, sizes, rng=np.random.SeedSequence([d, seed])
                )
            ]
            for k in counts:
                parts = [gram.leading(k) for gram in grams]
                answers = solve_many(
                    (
                        np.stack([2 * g.G for g in parts]),
                        np.stack([-2 * g.b for g in parts]),
                        np.zeros(len(parts)),
                    ),
                    "active_set",
                )
                cells += len(parts)
                gap = max(gap, float((answers.gaps / answers.scales).max()))
        seconds = time.process_time() - start
        rows.append({"what": f"sweep of {cells} cells, {name}, CPU s", "value": seconds, "error": gap})
        problem = make_problem(name, d=64, k=4, rng=0)
        one = interleaved(
            [
                lambda p=problem: simulated_grams(p.auxiliaries, p.target, settings, sizes, rng=0),  # type: ignore[misc]
                lambda p=problem: simulated_grams(p.auxiliaries, p.target, settings, sizes[-1:], rng=0),  # type: ignore[misc]
            ],
            5,
        )
        value, low, high = ratio(one, 0, 1)
        rows.append({"what": f"8-point n-sweep / one pass at n_max, {name}", "value": value, "low": low, "high": high})
    return rows


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the kernels benchmark and print its table."""
    parser = OneLineParser(prog="python -m benchmarks.kernels", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and seeds")
    parser.add_argument("--out", default="results/kernels", help="folder for the table")
    args = parser.parse_args(argv)
    repeats, seeds = (3, 5) if args.quick else (9, 50)
    from threadpoolctl import threadpool_limits

    folder = prepare_folder(args.out)
    with threadpool_limits(1):
        rows = score_rows(repeats) + peer_rows(max(2, repeats // 3)) + gram_rows(repeats) + sweep_rows(seeds)
    write_rows(folder, "kernels", rows)
    write_json(folder / "manifest.json", provenance(0))
    _print(rows)
    return 0


def _print(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "shape", "value", "10-90 %", "error / extra MB", title="Kernels: ratios of CPU time")
    for row in rows:
        shape = ", ".join(f"{key}={row[key]}" for key in ("n", "d", "m", "dtype") if key in row)
        spread = f"{row['low']:.3g} - {row['high']:.3g}" if "low" in row else ""
        extra = f"{row['error']:.1e}" if "error" in row else f"{row['extra_mb']:.1f} MB" if "extra_mb" in row else ""
        table.add_row(row["what"], shape, f"{row['value']:.3g}", spread, extra)
    Console(width=140).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
