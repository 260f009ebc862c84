"""What fusions work with: offloading, quantised bases, compilers; caches are refused."""

import pytest
import torch

import sfbench.diffusers as fusion

from .pipelines import ADAPTERS, activate, add_adapter, build, draw, with_adapters


@pytest.mark.slow
def test_layerwise_casting_and_group_offload_work() -> None:
    for order in ("before", "after"):
        pipe = with_adapters("sd3")
        if order == "before":
            pipe.transformer.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)
            pipe.transformer.enable_group_offload(
                onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
            )
        handle = fusion.fuse(pipe, ADAPTERS, [0.4, 0.6])
        if order == "after":
            pipe.transformer.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)
            pipe.transformer.enable_group_offload(
                onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
            )
        images = [draw(pipe), draw(pipe)]
        assert torch.equal(*images)
        assert handle.calls == 2
        handle.weights = [0, 1]
        second = draw(pipe)
        assert not torch.equal(second, images[0])
        handle.remove()
        activate(pipe.transformer, "second")
        assert torch.equal(draw(pipe), second)


class QuantisedLinear(torch.nn.Linear):
    """Weights of 8 bits and one scale, as quantisation backends keep them; they cannot be merged into."""

    @classmethod
    def of(cls, layer: torch.nn.Linear) -> "QuantisedLinear":
        made = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        scale = layer.weight.abs().max() / 127
        made.weight = torch.nn.Parameter((layer.weight / scale).round().to(torch.int8), requires_grad=False)
        made.scale, made.bias = scale.detach(), layer.bias
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)


def test_adapters_stay_beside_a_quantised_base() -> None:
    pipe = build("sd15")
    for path, layer in list(pipe.unet.named_modules()):
        if type(layer) is torch.nn.Linear and "attentions" in path:
            pipe.unet.set_submodule(path, QuantisedLinear.of(layer))
    before = {key: value.clone() for key, value in pipe.unet.state_dict().items()}
    for i, name in enumerate(ADAPTERS):
        add_adapter(pipe.unet, name, 10 + i)
    single = []
    for name in ADAPTERS:
        pipe.set_adapters(name)
        single.append(draw(pipe))
    with fusion.fused(pipe, ADAPTERS, [1, 0]) as handle:
        assert torch.equal(draw(pipe), single[0])
        handle.weights = [0.5, 0.5]
        assert not torch.equal(draw(pipe), single[0])
    after = pipe.unet.state_dict()
    assert sum(value.dtype == torch.int8 for value in after.values()) > 10
    kept = {key.replace(".base_layer.", "."): value for key, value in after.items()}
    assert all(torch.equal(kept[key], value) for key, value in before.items())


class Small(torch.nn.Module):
    """A network that compiles in a second."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.to_q, self.to_k = torch.nn.Linear(4, 8), torch.nn.Linear(8, 4)

    def forward(self, sample: torch.Tensor, timestep: float) -> torch.Tensor:
        return self.to_k(torch.tanh(self.to_q(sample)))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["wrapped", "in place"])
def test_compiled_networks_are_fused(where: str) -> None:
    network, x = Small(), torch.randn(5, 4)
    for i, name in enumerate(ADAPTERS):
        add_adapter(network, name, 10 + i)
    settings, counters = ([1, 0], [0, 1], [0.5, 0.5]), torch._dynamo.utils.counters["stats"]
    with torch.no_grad(), fusion.fused(network, ADAPTERS) as handle:
        expected = []
        for handle.weights in settings:
            expected.append(network(x, 1.0))
    torch._dynamo.reset()
    counters.clear()
    if where == "wrapped":
        network = torch.compile(network, backend="eager")
    else:
        network.compile(backend="eager")
    with torch.no_grad(), fusion.fused(network, ADAPTERS) as handle:
        for handle.weights, output in zip(settings, expected, strict=True):
            torch.testing.assert_close(network(x, 1.0), output)
        compiled = counters["unique_graphs"]
        assert compiled >= 2
        handle.weights = [0.3, 0.7]
        network(x, 1.0)
        assert counters["unique_graphs"] == compiled  # nothing is compiled anew
        assert handle.calls == 4
    torch._dynamo.reset()


def test_caches_of_features_are_refused() -> None:
    from diffusers import FirstBlockCacheConfig

    pipe = with_adapters("flux")
    handle = fusion.fuse(pipe, ADAPTERS)
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    with pytest.raises(fusion.DiffusersError, match="disable_cache"):
        draw(pipe)
    handle.remove()
    with pytest.raises(fusion.DiffusersError, match="disable_cache"):
        fusion.fuse(pipe, ADAPTERS)
    pipe.transformer.disable_cache()
    fusion.fuse(pipe, ADAPTERS)
    draw(pipe)
