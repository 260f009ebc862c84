"""Precision, layout and compilation of networks: the same scores, to rounding; and what is refused."""

import numpy as np
import pytest
import torch

import sfbench
from sfbench import GramError, ModelError, SfbenchError
from sfbench.nets import NetworkScore, build_network

OU = sfbench.OrnsteinUhlenbeck()


def network(name: str = "mlp", seed: int = 0) -> torch.nn.Module:
    """A network whose last layer is not zero."""
    options = {"dim": 2, "width": 16, "depth": 1} if name == "mlp" else {"shape": [1, 8, 8], "channels": [8, 8]}
    net = build_network(name, options, process=OU, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(std=0.2, generator=generator)
    return net


def points(dim: int, n: int = 40) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_one_time_is_the_same_as_that_time_for_every_point() -> None:
    for name, dim in (("mlp", 2), ("unet", 64)):
        model, x = NetworkScore(network(name), dim, OU), points(dim)
        assert model.module.broadcasts_time
        np.testing.assert_allclose(model.score(x, 0.3), model.score(x, np.full(len(x), 0.3)), rtol=1e-4, atol=1e-5)
        assert not np.allclose(model.score(x, 0.3), model.score(x, 0.5), rtol=1e-2)


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.05), (torch.float16, 0.01), (torch.float64, 1e-6)])
def test_precision_of_a_copy(dtype: torch.dtype, error: float) -> None:
    net, x = network(), points(2)
    plain, other = NetworkScore(net, 2, OU), NetworkScore(net, 2, OU, dtype=dtype)
    assert (other.dtype, next(net.parameters()).dtype) == (dtype, torch.float32)
    want, found = plain.score(x, 0.3), other.score(x, 0.3)
    assert found.dtype == torch.float32
    distance = float((found - want).norm() / want.norm())
    assert distance < error
    assert dtype == torch.float64 or distance > 1e-5  # it did compute in that precision
    assert other.given(None).dtype == dtype


def test_channels_last_is_a_layout_and_nothing_else() -> None:
    net, x, seen = network("unet"), points(64), []
    plain, other = NetworkScore(net, 64, OU), NetworkScore(net, 64, OU, channels_last=True)
    convolution = next(m for m in other.module.modules() if isinstance(m, torch.nn.Conv2d) and m.out_channels > 1)
    convolution.register_forward_hook(lambda module, inputs, out: seen.append(out))
    np.testing.assert_allclose(other.score(x, 0.3), plain.score(x, 0.3), rtol=1e-3, atol=1e-4)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert (
        not next(m for m in net.modules() if isinstance(m, torch.nn.Conv2d)).weight.is_contiguous(
            memory_format=torch.channels_last
        )
        or net.net.conv_in.weight.shape[1] == 1
    )

    class Pictures(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return self.layer(x)

    NetworkScore(Pictures(), (3, 4, 4), OU, "score", channels_last=True).score(points(48), 0.3)
    assert seen[-1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_compiled_batches_are_filled_up_to_one_shape() -> None:
    """The backend "eager" traces and checks shapes as the others do, and generates no code."""
    net, x, shapes = network(), points(2, 45), []
    plain = NetworkScore(net, 2, OU, batch=16)
    fast = NetworkScore(net, 2, OU, batch=16, compile="eager")
    inner = fast._compiled
    inner.register_forward_hook(lambda module, inputs, out: shapes.append(tuple(out.shape)))
    for n in (45, 40, 3):  # batches of 16, 16, 13, then 16, 16, 8, then 3
        np.testing.assert_allclose(fast.score(x[:n], 0.3), plain.score(x[:n], 0.3), rtol=1e-5, atol=1e-6)
    assert shapes == [(16, 2)] * 4  # the first of all is checked; batches of 8 and 3 are too small
    times = np.linspace(0.1, 1.0, 45)
    np.testing.assert_allclose(fast.score(x, times), plain.score(x, times), rtol=1e-5, atol=1e-6)
    probes = np.ones((1, 45, 2))
    np.testing.assert_allclose(
        fast.score_and_projections(x.numpy(), 0.3, probes)[1], plain.score_and_projections(x.numpy(), 0.3, probes)[1]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": torch.int8}, "dtype must be one of torch.bfloat16"),
        ({"dtype": "bf16"}, "dtype must be one of torch.bfloat16"),
        ({"channels_last": True}, "for convolutions of images, and this ScoreMLP has none"),
        ({"channels_last": 1}, "channels_last must be True or False"),
        ({"compile": "fastest"}, "compile must be True, False or the name of a backend"),
    ],
)
def test_speedups_that_are_none(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        NetworkScore(network(), 2, OU, **options)


class Answers:
    """A score model of somebody else's that says it takes tensors."""

    dim, device = 2, torch.device("cpu")

    def __init__(self, wrap) -> None:
        self.wrap = wrap

    def score(self, x, t):
        return self.wrap(-x)


def test_answers_that_are_no_tensors_there() -> None:
    x, good = points(2), NetworkScore(network(), 2, OU)
    for wrap, kind in ((lambda s: (s,), "builtins.tuple"), (lambda s: s.to("meta"), "tensor on meta")):
        with pytest.raises(ModelError, match=rf"computes on cpu and answered a tensor there with a {kind}; let it"):
            sfbench.fuse([Answers(wrap), good], x, process=OU, n_nodes=2, rng=0)
    half = sfbench.fuse([Answers(lambda s: s.bfloat16()), good], x, process=OU, n_nodes=2, rng=0)
    full = sfbench.fuse([Answers(lambda s: s), good], x, process=OU, n_nodes=2, rng=0)
    np.testing.assert_allclose(half.weights, full.weights, atol=0.02)


def test_devices_of_models_and_points() -> None:
    here, there, x = NetworkScore(network(), 2, OU), NetworkScore(network(), 2, OU).to(device="meta"), points(2)
    both = sfbench.FusedScore([here, there], [0.5, 0.5], process=OU)
    for sampler in ("fused", "corrected", "superposed"):
        with pytest.raises(ModelError, match=r"models\[0\] is on cpu and models\[1\] on meta; move them to one"):
            sfbench.sample(both, 20, sampler, device="cpu")
    with pytest.raises(SfbenchError, match="the models are on meta and device='cpu' was asked for"):
        sfbench.sample(sfbench.FusedScore([there], [1.0], process=OU), 20, device="cpu")
    with pytest.raises(ModelError, match="on the device 'meta', where it has no weights"):
        there.score(x.numpy(), 0.3)
    with pytest.raises(ModelError, match="x is on cpu, the network on meta"):
        there.score(x, 0.3)
    with pytest.raises(GramError, match="the points are on cpu and the models on meta"):
        sfbench.fuse([there], x, process=OU, rng=0)
