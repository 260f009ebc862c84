"""Recipes: what was fused, with which weights, from which files; in a folder, and inside every picture."""

import hashlib
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.loaders import PeftAdapterMixin
from torch import Tensor, nn

from .._internal.validation import as_flag, as_items, as_kind
from ..errors import OutputError
from ..files import prepare_folder, read_regular, write_bytes, write_json
from .errors import DiffusersError, NoiseScheduleError, RecipeError
from .experts import AdapterExpert, NetworkExpert, OwnExpert, find_denoiser, text_encoders
from .handle import Handle, fuse
from .opening import as_path, open_pipeline
from .result import PipelineSample
from .schedules import from_scheduler
from .switching import BASE, AdapterSwitch, adapter_state, own_state
from .weights import weights_from_json

FILE, KEY, FORMAT = "recipe.json", "sfbench", 1
_WEIGHTS = "adapter_model.safetensors"
_LARGEST = 1 << 24


# ------------------------------------------------------------------------------------------------------- writing
def make_recipe(handle: Handle) -> dict[str, Any]:
    """The recipe of a fusion as JSON: experts with sha256, weights, process, versions.

    Reads every weight once.
    """
    pipe, module, versions = as_kind("handle", handle, Handle, RecipeError).pipe, handle.module, {}
    for name in ("sfbench", "diffusers", "peft", "torch"):
        with suppress(PackageNotFoundError):  # a checkout that is not installed
            versions[name] = version(name)
    return {
        "format": FORMAT,
        "pipeline": {"class": type(pipe).__name__, "source": _source(pipe), "network": type(module).__name__},
        "sha256": digest(module),
        "experts": [_describe(pipe, module, expert) for expert in handle.experts],
        "weights": handle.hook.weights.to_json(),
        "method": handle.hook.method,
        "schedule": _schedule(pipe),
        "versions": versions,
    }


def save_recipe(handle: Handle, folder: str | PathLike[str], *, adapters: bool = False) -> None:
    """Write ``recipe.json``, and the adapters' weights if asked for; see :meth:`Handle.save`."""
    as_flag("adapters", adapters, RecipeError)
    if not as_kind("handle", handle, Handle, RecipeError).active:
        raise RecipeError("this fusion was removed from its pipeline: save it before handle.remove(), or fuse again")
    recipe = make_recipe(handle)  # everything that can be refused is refused before anything is written
    names = [e.adapter for e in handle.experts if isinstance(e, AdapterExpert) and e.adapter != BASE]
    path = prepare_folder(as_path("folder", folder, RecipeError))
    for name in names if adapters else ():
        for part, module in _with_adapter(handle.pipe, handle.module, name).items():
            _save_adapter(module, name, path / "adapters" / name / part)
    write_json(path / FILE, recipe)


def save_images(
    images: PipelineSample | Sequence[Any],
    folder: str | PathLike[str],
    *,
    handle: Handle | None = None,
    seed: int | None = None,
    names: str = "{:04d}.png",
) -> list[Path]:
    """Write images as PNG with the recipe and the seed in their metadata.

    Parameters
    ----------
    images : PipelineSample, or sequence of PIL images, arrays or tensors
        Arrays (height, width, colours) and tensors (colours, height, width) hold numbers in [0, 1].
    folder : path
    handle : Handle, optional
        Where the recipe comes from; a sample brings its own.
    seed : int, optional
        Seed of the images; a sample brings its own.
    names : str
        Format of the file names, from the number of the image.

    Returns
    -------
    list of Path
    """
    from PIL.PngImagePlugin import PngInfo

    drawn = images if isinstance(images, PipelineSample) else None
    source = handle if drawn is None else drawn.handle
    record: dict[str, Any] = {"recipe": None if source is None else make_recipe(source)}
    record["seed"] = seed if drawn is None else drawn.seed
    kept = images.images if isinstance(images, PipelineSample) else images
    given = as_items("images", kept, "pictures, or a PipelineSample", RecipeError)
    pictures = [as_picture(image) for image in given]
    path, written = prepare_folder(folder), []
    for i, picture in enumerate(pictures):
        about = record | {"number": i}
        if drawn is not None:
            about |= {"law": drawn.law, "weight": float(drawn.weights[i])}
        info, content = PngInfo(), io.BytesIO()
        info.add_text(KEY, json.dumps(about, sort_keys=True))
        picture.save(content, format="PNG", pnginfo=info)
        written.append(path / names.format(i))
        write_bytes(written[-1], content.getvalue())
    return written


def as_picture(image: Any) -> Any:
    """A PIL picture from one, from an array (height, width, colours) or a tensor (colours, height, width) in [0, 1]."""
    from PIL import Image

    if isinstance(image, Image.Image):
        return image
    array = image.detach().float().cpu().permute(1, 2, 0).numpy() if isinstance(image, Tensor) else np.asarray(image)
    if array.ndim != 3 or array.shape[2] not in (1, 3) or not np.all((array >= 0) & (array <= 1)):
        raise OutputError(f"an image of shape {array.shape} is not colours in [0, 1]; draw with output_type='pil'")
    return Image.fromarray(np.squeeze((255 * array).round().astype(np.uint8)))


# ------------------------------------------------------------------------------------------------------- reading
def read_recipe(path: str | PathLike[str]) -> dict[str, Any]:
    """The recipe in a folder, a ``recipe.json``, or a PNG written by :func:`save_images`.

    Raises
    ------
    RecipeError
        If there is none.
    """
    file = as_path("path", path, RecipeError)
    file = file / FILE if file.is_dir() else file
    try:
        if file.suffix.lower() == ".png":
            from PIL import Image

            with Image.open(file) as image:
                recipe = json.loads(image.info.get(KEY, "{}")).get("recipe")
        else:
            recipe = json.loads(read_regular(file, _LARGEST, RecipeError))
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read a recipe from {str(path)!r}: {error}") from None
    if not isinstance(recipe, dict) or recipe.get("format") != FORMAT:
        raise RecipeError(f"{str(path)!r} holds no recipe of format {FORMAT}")
    return recipe


def load(
    pipe: Any, path: str | PathLike[str], *, experts: Mapping[str, Any] | None = None, check: bool = True
) -> Handle:
    """Fuse a pipeline as a recipe says.

    Parameters
    ----------
    pipe : pipeline
        Of the same networks; adapters that the folder does not hold must be loaded.
    path : path
        Folder of :meth:`Handle.save`, or a picture of :func:`save_images`.
    experts : mapping, optional
        Other pipelines and networks by the names that the recipe gives them; without it they are opened where they
        came from, if that is a folder or in the local cache.
    check : bool
        Compare the sha256 of all weights.

    Raises
    ------
    RecipeError
        For another pipeline, schedule or expert than the recipe's; names it.
    """
    recipe = read_recipe(path)
    _, module = find_denoiser(pipe)
    given = dict(as_kind("experts", experts or {}, Mapping, RecipeError))  # type: ignore[type-abstract]
    try:
        network, schedule, method = recipe["pipeline"]["network"], recipe["schedule"], recipe["method"]
        if network != type(module).__name__:
            raise RecipeError(f"the recipe is for a {network}, the pipeline has a {type(module).__name__}")
        if schedule is not None and schedule != (here := _schedule(pipe)):
            raise RecipeError(f"the recipe is for the schedule {schedule}, the pipeline has {here}")
        if check and recipe["sha256"] != digest(module):
            raise RecipeError(
                f"the weights of the {network} are not those of the recipe ({recipe['pipeline']['source']})"
            )
        models = {e["name"]: _find(pipe, module, e, given, Path(path), check) for e in recipe["experts"]}
    except (KeyError, TypeError) as error:
        raise RecipeError(f"the recipe in {str(path)!r} is incomplete: {error!r}") from None
    return fuse(pipe, models, weights_from_json(recipe["weights"]), method=method)


def _find(pipe: Any, module: nn.Module, entry: Any, given: dict[str, Any], path: Path, check: bool) -> Any:
    """What :func:`fuse` takes for one expert of a recipe."""
    kind, name, wanted = entry["kind"], entry["name"], entry.get("sha256")
    if kind == "own":
        return pipe
    if kind == "adapter":
        adapter = entry["adapter"]
        if adapter != BASE:
            _find_adapter(pipe, module, adapter, entry["parts"], path / "adapters" / adapter, check)
        return adapter
    found = given.get(name)
    if found is None and entry["source"]:
        found = open_pipeline(entry["source"])
    if found is None:
        raise RecipeError(f"the recipe needs the {entry['class']} {name!r}: pass experts={{{name!r}: ...}}")
    if check and wanted != digest(find_denoiser(found)[1]):
        raise RecipeError(f"the weights of expert {name!r} are not those of the recipe")
    return found


def _save_adapter(module: nn.Module, name: str, folder: Path) -> None:
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    prepare_folder(folder)
    module.peft_config[name].save_pretrained(str(folder))  # type: ignore[union-attr, index]
    tensors = {key: value.contiguous() for key, value in get_peft_model_state_dict(module, adapter_name=name).items()}
    write_bytes(folder / _WEIGHTS, save(tensors))


def _load_adapter(module: nn.Module, name: str, folder: Path) -> None:
    from peft import PeftConfig, inject_adapter_in_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        config, tensors = PeftConfig.from_pretrained(str(folder)), load_file(folder / _WEIGHTS)
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read the adapter {name!r} in {str(folder)!r}: {error}") from None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # another adapter is expected here
        if isinstance(module, PeftAdapterMixin):
            module.add_adapter(config, adapter_name=name)
        else:
            inject_adapter_in_model(config, module, name)
    set_peft_model_state_dict(module, tensors, adapter_name=name)


def _find_adapter(pipe: Any, module: nn.Module, name: str, parts: Mapping[str, Any], folder: Path, check: bool) -> None:
    """See that an adapter is loaded, is the recipe's, and has its scale, in the network and in the text encoders."""
    for part, entry in parts.items():
        place = _parts_of(pipe, module)[part]
        if name not in AdapterSwitch(place).names() and (folder / part).is_dir():
            _load_adapter(place, name, folder / part)
        switch = AdapterSwitch(place)
        try:
            switch.check(name)
        except DiffusersError as error:
            raise RecipeError(str(error)) from None
        if check and entry["sha256"] != adapter_digest(place, name):
            raise RecipeError(f"the weights of the adapter {name!r} ({part}) are not those of the recipe")
        _set_scales(switch, name, entry["scale"])


# ------------------------------------------------------------------------------------------------------- describing
def _describe(pipe: Any, module: nn.Module, expert: Any) -> dict[str, Any]:
    if isinstance(expert, AdapterExpert):
        name = expert.adapter
        found = {} if name == BASE else _with_adapter(pipe, module, name)
        parts = {
            part: {"sha256": adapter_digest(place, name), "scale": _scales(AdapterSwitch(place), name)}
            for part, place in found.items()
        }
        return {"kind": "adapter", "name": expert.name, "adapter": name, "parts": parts}
    if isinstance(expert, OwnExpert):
        return {"kind": "own", "name": expert.name}
    assert isinstance(expert, NetworkExpert)
    source = None if expert.pipe is None else _source(expert.pipe)
    kind = type(expert.module if expert.pipe is None else expert.pipe).__name__
    return {"kind": "network", "name": expert.name, "class": kind, "source": source, "sha256": digest(expert.module)}


def _source(pipe: Any) -> str | None:
    found = getattr(pipe, "name_or_path", None) or getattr(getattr(pipe, "config", None), "_name_or_path", None)
    return str(found) if found else None


def _schedule(pipe: Any) -> dict[str, Any] | None:
    try:
        schedule = from_scheduler(pipe.scheduler)
    except (AttributeError, NoiseScheduleError):  # a network without a pipeline, or a chain of tokens
        return None
    return {"process": repr(schedule.process), "prediction": str(schedule.prediction)}


def _scales(switch: AdapterSwitch, name: str) -> float | list[float]:
    """Scale of an adapter relative to ``alpha / rank``: one number, or one for every layer that has it."""
    layers = [layer for layer in switch.layers if name in getattr(layer, "scaling", {})]
    scales = [layer.scaling[name] / (layer.lora_alpha[name] / layer.r[name]) for layer in layers]
    return scales if len(set(scales)) > 1 else scales[0] if scales else 1.0


def _set_scales(switch: AdapterSwitch, name: str, scale: float | Sequence[float]) -> None:
    layers = [layer for layer in switch.layers if name in getattr(layer, "scaling", {})]
    scales = list(scale) if isinstance(scale, Sequence) else [scale] * len(layers)
    if len(layers) != len(scales):
        raise RecipeError(f"the adapter {name!r} has {len(layers)} layers, that of the recipe has {len(scales)}")
    for layer, scale in zip(layers, scales, strict=True):
        layer.set_scale(name, scale)


def _parts_of(pipe: Any, module: nn.Module) -> dict[str, nn.Module]:
    """The network and the text encoders, by name."""
    return {"network": module} | ({} if isinstance(pipe, nn.Module) else text_encoders(pipe))


def _with_adapter(pipe: Any, module: nn.Module, name: str) -> dict[str, nn.Module]:
    return {part: place for part, place in _parts_of(pipe, module).items() if name in AdapterSwitch(place).names()}


def adapter_digest(module: nn.Module, name: str) -> str:
    """sha256 of one adapter's weights in a module."""
    return _sha256(adapter_state(module, name))


def digest(module: nn.Module) -> str:
    """sha256 of a network's own weights: names, types, shapes and bytes, without those of adapters."""
    return _sha256(own_state(module))


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        if value.is_meta:
            raise RecipeError(f"the weight {name!r} is offloaded to disk or memory; take sequential offload off first")
        total.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        plain = value.detach().cpu().contiguous()
        total.update(plain.flatten().view(torch.uint8).numpy().tobytes() if plain.ndim else repr(plain.item()).encode())
    return total.hexdigest()
