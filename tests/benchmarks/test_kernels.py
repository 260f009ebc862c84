"""The kernels benchmark on small shapes: what it measures is right, and memory does not grow with n."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kernels import __main__ as kernels
from synthetic import GaussianMixture


def test_ratios_are_of_minima_with_the_spread_of_pairs() -> None:
    seconds = np.array([[2.0, 1.0], [4.0, 1.0], [3.0, 2.0]])
    value, low, high = kernels.ratio(seconds, 0, 1)
    assert value == 2.0
    assert 1.5 <= low < 2.0 < high <= 4.0


def test_contenders_run_in_turn() -> None:
    calls: list[str] = []
    seconds = kernels.interleaved([lambda: calls.append("a"), lambda: calls.append("b")], 5)
    assert seconds.shape == (5, 2)
    rounds = ["".join(calls[i : i + 2]) for i in range(0, 12, 2)]  # one to warm up
    assert set(rounds) == {"ab", "ba"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", ["isotropic", "diagonal"])
def test_extra_memory_of_a_score_is_bounded_at_any_n(layout: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    variances = rng.uniform(0.5, 1.5, 16 if layout == "isotropic" else (16, 64))
    mixture = GaussianMixture(np.full(16, 1 / 16), rng.standard_normal((16, 64)), variances)
    extra = []
    for n in (20_000, 80_000):
        x = mixture.sample(n, rng=1).astype(dtype)
        mixture.score(x[:10])
        tracemalloc.start()
        out = mixture.score(x)
        extra.append(tracemalloc.get_traced_memory()[1] - out.nbytes)
        tracemalloc.stop()
    assert max(extra) < 16 * 2**20
    assert extra[1] < 1.1 * extra[0] + 2**16


def test_a_small_run_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "SHAPES", ((500, 2, 4), (500, 64, 4)))
    monkeypatch.setattr(kernels, "peer_rows", lambda repeats: [])  # torch and scikit-learn at full size
    monkeypatch.setattr(kernels, "gram_rows", lambda repeats: [])
    monkeypatch.setattr(kernels, "sweep_rows", lambda seeds: [])
    assert kernels.main(["--quick", "--out", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "kernels.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert all(0 < row["value"] < 10 and row["extra_mb"] < 16 for row in rows)


@pytest.mark.slow
def test_the_sweep_counts_its_cells_and_certifies_them() -> None:
    rows = kernels.sweep_rows(1)
    sweeps = [row for row in rows if row["what"].startswith("sweep of 160 cells")]
    assert len(sweeps) == 2
    assert all(row["error"] < 1e-9 for row in sweeps)
