"""Statistics of tensors: the same numbers as of arrays, on the device and in batches of the models' choice."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sfbench
from sfbench import GramError, ModelError, NotFiniteError, fuse
from sfbench.nets import NetworkDivergence, NetworkScore
from sfbench.statistics import GramSettings, score_statistics
from sfbench.statistics.files import open_source
from synthetic import GaussianMixture

OU = sfbench.OrnsteinUhlenbeck()
X = np.random.default_rng(0).standard_normal((75, 3))


class Net(torch.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.a = torch.nn.Parameter(0.4 * torch.randn(3, 4, generator=g, dtype=torch.float64))
        self.calls: list[int] = []

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(x))
        return torch.tanh(torch.cat([x, t[:, None]], 1) @ self.a.T) - x


class Plain:
    """The same network for numpy arrays only."""

    def __init__(self, net: Net) -> None:
        self.net, self.dim = NetworkScore(net, 3, OU, "score"), 3

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        assert isinstance(x, np.ndarray)
        return self.net.score(x, t)

    def score_and_divergence(self, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        return NetworkDivergence(self.net, None).score_and_divergence(x, t)


def networks(k: int, **options: int) -> list[NetworkScore]:
    return [NetworkScore(Net(i), 3, OU, "score", **options) for i in range(k)]


def settings(estimator: str = "antithetic", n_noise: int = 1) -> GramSettings:
    return GramSettings(OU, sfbench.time_grid(1e-2, 2.0, 5), estimator, "girsanov", n_noise)


@pytest.mark.parametrize("estimator", ["antithetic", "dsm", "stein"])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("batch", [7, 4096])
def test_arrays_and_tensors_give_the_same_numbers(estimator: str, k: int, batch: int) -> None:
    models = networks(k, batch=batch)
    asked = [NetworkDivergence(m, None) for m in models] if estimator == "stein" else models
    plain = [Plain(m.module) for m in models]
    s = settings(estimator)
    want = score_statistics(plain, X, s, keep=9, parts=2, rng=5)
    for data in (X, torch.from_numpy(X)):
        found = score_statistics(asked, data, s, keep=9, parts=2, rng=5)
        np.testing.assert_allclose(found.G, want.G, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(found.b, want.b, rtol=1e-12, atol=1e-12)
        for one, other in zip(found.parts, want.parts, strict=True):
            np.testing.assert_allclose(one.g.sum(0), other.g.sum(0), rtol=1e-11, atol=1e-11)


def test_all_nodes_of_a_few_rows_go_through_a_model_in_one_call() -> None:
    models = networks(2, batch=4096)
    score_statistics(models, torch.from_numpy(X), settings(), rng=0)
    assert models[0].module.calls == [3, 5 * 2 * len(X)]
    models = networks(2, batch=50)
    score_statistics(models, torch.from_numpy(X), settings(), rng=0)
    assert max(models[0].module.calls) <= 50


def test_several_noise_vectors_and_single_precision() -> None:
    models = networks(3)
    want = score_statistics([Plain(m.module) for m in models], X, settings(n_noise=3), rng=1)
    found = score_statistics(models, torch.from_numpy(X), settings(n_noise=3), rng=1)
    np.testing.assert_allclose(found.G, want.G, rtol=1e-12, atol=1e-13)
    single = fuse(models, torch.from_numpy(X).float(), process=OU, rng=1)
    double = fuse(models, X.astype(np.float32), process=OU, rng=1)
    assert isinstance(single.gram.G, np.ndarray)
    assert np.abs(single.gram.G - double.gram.G).max() < 1.0  # other noise, the same objective


def test_files_and_loaders_give_the_numbers_of_the_array(tmp_path: Path) -> None:
    models, s = networks(2, batch=16), settings()
    want = score_statistics(models, X, s, keep=9, rng=3)
    np.save(tmp_path / "x.npy", X)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(X)), batch_size=13)
    for data in (open_source(tmp_path / "x.npy"), loader):
        found = score_statistics(models, data, s, keep=9, rng=3)
        np.testing.assert_array_equal(found.G, want.G)
        np.testing.assert_array_equal(found.parts[0].g, want.parts[0].g)
    bad = X.copy()
    bad[40, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(NotFiniteError, match="counted from row"):
        score_statistics(models, open_source(tmp_path / "bad.npy"), s, rng=3)


def test_laws_and_networks_are_fused_together() -> None:
    law = GaussianMixture([1.0], np.zeros((1, 3)), 1.0)
    models = [law, *networks(1)]
    a = fuse(models, X, process=OU, rng=0).weights
    b = fuse(models, torch.from_numpy(X), process=OU, rng=0).weights
    np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.from_numpy(X).requires_grad_(), GramError, r"pass data.detach\(\)"),
        (torch.from_numpy(X).bfloat16(), GramError, r"pass data.float\(\)"),
        (torch.from_numpy(X).long(), GramError, r"torch.int64; pass data.float\(\)"),
        (torch.empty(5, 3, device="meta"), GramError, "dense tensor with values"),
        (torch.from_numpy(X[:, 0].copy()), GramError, r"use data\[:, None\]"),
        (torch.from_numpy(X[:, :2].copy()), ModelError, "3 dimensions, data in 2"),
        (torch.tensor([[1.0, np.nan, 0.0]]), NotFiniteError, r"data\[0, 1\] is nan"),
    ],
)
def test_bad_tensors_are_refused(x: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fuse(networks(2), x, process=OU, rng=0)


def test_models_on_two_devices_are_refused() -> None:
    elsewhere = NetworkScore(Net(1).to("meta"), 3, OU, "score")
    with pytest.raises(GramError, match=r"models\[0\] is on cpu and models\[1\] on meta"):
        fuse([*networks(1), elsewhere], X, process=OU, rng=0)


def test_scores_that_are_not_finite_name_the_model_and_the_row() -> None:
    class Bad(Net):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            out = super().forward(x, t)
            out[-1] = torch.nan if len(x) > 3 else 0.0
            return out

    models = [*networks(1), NetworkScore(Bad(1), 3, OU, "score")]
    with pytest.raises(NotFiniteError, match="model 1 returned a score that is not finite at t="):
        score_statistics(models, torch.from_numpy(X), settings(), rng=0)


def test_networks_in_single_precision_get_points_and_noise_of_double_precision_rounded_once() -> None:
    """Arrays of float64 and networks of float32: the numbers of an explicit float64, to the rounding of float32."""
    models = [NetworkScore(Net(i).float(), 3, OU, "score") for i in range(3)]
    grid = sfbench.time_grid(1e-2, 2.0, 5)
    kinds: list[torch.dtype] = []
    for model in models:
        model.module.register_forward_pre_hook(lambda module, given: kinds.append(given[0].dtype))
    found = score_statistics(models, X, GramSettings(OU, grid), rng=5)
    want = score_statistics(models, X, GramSettings(OU, grid, dtype=np.float64), rng=5)
    assert set(kinds) == {torch.float32}
    assert found.G.dtype == np.float64
    assert 0.0 < np.abs(found.G - want.G).max() < 1e-5 * np.abs(want.G).max()
    np.testing.assert_allclose(found.b, want.b, rtol=1e-5, atol=1e-5 * np.abs(want.b).max())
    mixed = [*models, NetworkScore(Net(3), 3, OU, "score")]  # one network in double precision: all in double precision
    found, want = (score_statistics(mixed, X, GramSettings(OU, grid, dtype=d), rng=5) for d in (None, np.float64))
    np.testing.assert_array_equal(found.G, want.G)
