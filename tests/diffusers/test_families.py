"""Every family of pipelines, with two adapters and with another pipeline: the promises of a fusion."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ComponentsManager
from diffusers.utils.torch_utils import TorchDeviceBackend

import sfbench.diffusers as fusion

from .pipelines import ADAPTERS, BUILDERS, activate, build, denoiser, draw, with_adapters

KINDS = ("adapters", "pipeline")
MATRIX = [(family, kind) for family in BUILDERS for kind in KINDS]
GUIDED = {"sd15": 5.0, "sdxl": 5.0, "sd3": 5.0, "dit": 4.0}  # the modular pipeline guides by itself


def case(family: str, kind: str) -> tuple[Any, list[Any]]:
    """A pipeline and two experts."""
    if kind == "pipeline":
        pipe, other = build(family), build(family, 5)
        return pipe, [pipe, other]
    pipe = with_adapters(family)
    activate(denoiser(pipe), ADAPTERS[1])
    return pipe, list(ADAPTERS)


@functools.cache
def alone(family: str, kind: str) -> list[torch.Tensor]:
    """What each of the experts draws alone."""
    pipe, experts = case(family, kind)
    if kind == "pipeline":
        return [draw(expert) for expert in experts]
    images = []
    for name in experts:
        activate(denoiser(pipe), name)
        images.append(draw(pipe))
    return images


def runs(module: torch.nn.Module) -> list[int]:
    """Counts the forward passes of a network's first layer."""
    layer, count = next(iter(module.children())), [0]
    layer.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))
    return count


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), MATRIX)
def test_one_hot_weights_are_that_model_bit_for_bit_and_run_nothing_else(family: str, kind: str) -> None:
    pipe, experts = case(family, kind)
    assert not torch.equal(*alone(family, kind))
    own, other = runs(denoiser(pipe)), runs(denoiser(experts[1])) if kind == "pipeline" else [0]
    draw(pipe)
    usual, own[0], other[0] = own[0], 0, 0
    with fusion.fused(pipe, experts) as handle:
        for i, image in enumerate(alone(family, kind)):
            handle.weights = [1 - i, i]
            assert torch.equal(draw(pipe), image)
        assert own[0] + other[0] == 2 * usual
        if kind == "pipeline":
            assert own[0] == other[0] == usual
        handle.weights = [0.5, 0.5]
        mixed = draw(pipe)
        assert own[0] + other[0] == 4 * usual
    assert not any(torch.equal(mixed, image) for image in alone(family, kind))


@pytest.mark.parametrize(("family", "kind"), MATRIX)
def test_nothing_stays_changed(family: str, kind: str) -> None:
    pipe, experts = case(family, kind)
    network = denoiser(pipe)
    layers = fusion.switching.AdapterSwitch(network).layers
    state = [(layer.active_adapters, layer.disable_adapters, layer.scaling.copy()) for layer in layers]
    names, kinds = list(network.state_dict()), (type(pipe), type(network))
    last = alone(family, kind)[1 if kind == "adapters" else 0]
    assert torch.equal(draw(pipe), last)
    attributes = set(vars(pipe))  # pipelines keep some of their first call
    handle = fusion.fuse(pipe, experts)
    assert isinstance(pipe, kinds[0])
    assert type(network) is kinds[1]
    draw(pipe)
    handle.remove()
    handle.remove()
    assert (type(pipe), type(network)) == kinds
    assert list(network.state_dict()) == names
    assert [(layer.active_adapters, layer.disable_adapters, layer.scaling) for layer in layers] == state
    assert torch.equal(draw(pipe), last)
    assert set(vars(pipe)) == attributes


def offload(pipe: Any) -> Callable[[], None]:
    """Offload to where the pipeline is already; returns what ends it."""
    if not hasattr(pipe, "update_components"):
        pipe.enable_model_cpu_offload(device="cpu")
        return pipe.remove_all_hooks
    manager = ComponentsManager()  # of modular pipelines
    for name in ("text_encoder", "text_encoder_2", "unet", "vae"):
        manager.add(name, getattr(pipe, name))
    manager.enable_auto_cpu_offload(device="cpu")
    return manager.disable_auto_cpu_offload


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), MATRIX)
def test_the_second_image_is_still_fused_under_offload(family: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchDeviceBackend, "mem_get_info", lambda self: (1 << 40, 1 << 40), raising=False)
    pipe, experts = case(family, kind)
    expected = {}
    with fusion.fused(pipe, experts, [0.3, 0.7]):
        expected = draw(pipe, steps=1)
    offload(pipe)
    handle = fusion.fuse(pipe, experts, [0.3, 0.7])
    for _ in range(2):
        assert torch.equal(draw(pipe, steps=1), expected)
        assert handle.calls > 0
    handle.remove()
    handle = fusion.fuse(pipe, experts, [0.3, 0.7])
    end = offload(pipe)  # the other order
    for _ in range(2):
        assert torch.equal(draw(pipe, steps=1), expected)
    handle.remove()
    unfused = draw(pipe, steps=1)
    assert not torch.equal(unfused, expected)
    end()
    assert torch.equal(draw(pipe, steps=1), unfused)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), MATRIX)
def test_guiding_the_fused_is_fusing_the_guided(family: str, kind: str) -> None:
    pipe, experts = case(family, kind)
    options = {"guidance_scale": GUIDED[family]} if family in GUIDED else {}
    given: list[torch.Tensor] = []
    step = pipe.scheduler.step

    def watched(model_output: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        given.append(model_output)
        return step(model_output, *args, **kwargs)

    pipe.scheduler.step = watched
    first = []
    with fusion.fused(pipe, experts) as handle:
        for weights in ([1, 0], [0, 1], [0.25, 0.75]):
            given.clear()
            handle.weights = weights
            draw(pipe, steps=2, **options)
            first.append(given[0].double())
    error = (first[2] - 0.25 * first[0] - 0.75 * first[1]).abs().max()
    assert error <= 2e-5 * first[2].abs().max()
    assert not torch.allclose(first[0], first[1])


@pytest.mark.slow
def test_recipes_give_the_same_images_in_another_process(tmp_path: Path) -> None:
    for family, kind in MATRIX:
        folder = tmp_path / f"{family}_{kind}"
        pipe, experts = case(family, kind)
        with fusion.fused(pipe, experts, [0.3, 0.7]) as handle:
            handle.save(folder, adapters=True)
            torch.save(draw(pipe), folder / "image.pt")
    script = (
        "import sys, torch, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "import sfbench.diffusers as fusion\n"
        "from tests.diffusers.pipelines import build, draw\n"
        "from pathlib import Path\n"
        "for folder in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    family, kind = folder.name.split('_')\n"
        "    pipe = build(family)\n"
        "    names = [e['name'] for e in fusion.read_recipe(folder)['experts']]\n"
        "    others = {names[1]: build(family, 5)} if kind == 'pipeline' else {}\n"
        "    fusion.load(pipe, folder, experts=others)\n"
        "    print(folder.name, torch.equal(draw(pipe), torch.load(folder / 'image.pt')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    lines = done.stdout.split("\n")[:-1]
    assert len(lines) == len(MATRIX), done.stderr[-4000:]
    assert all(line.endswith("True") for line in lines), done.stdout
