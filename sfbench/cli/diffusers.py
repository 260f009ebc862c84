"""``sfbench diffusers learn | sample | grid | compare``: fusing adapters and checkpoints of diffusers pipelines."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

import sfbench

from ..errors import FitWarning
from .common import Json, numbers, on_terminal, output_folder

diffusers_app = typer.Typer(help="Fuse adapters and checkpoints of diffusers pipelines.", no_args_is_help=True)

Pipeline = Annotated[str, typer.Argument(help="folder, or owner/name on the hub", show_default=False)]
Adapter = Annotated[
    list[str] | None,
    typer.Option("--adapter", help="LoRA as name=file or name=owner/repository; repeat (one alone: against none)"),
]
Other = Annotated[
    list[str] | None, typer.Option("--other", help="another pipeline to fuse this one, or its adapters, with; repeat")
]
Prompt = Annotated[str | None, typer.Option("--prompt", "-p", help="prompt (a class for pipelines of classes)")]
Weights = Annotated[str | None, typer.Option(help="weights, comma separated (default: equal)")]
Number = Annotated[int, typer.Option("--n", "-n", help="pictures, or pictures of each row")]
Steps = Annotated[int, typer.Option(help="steps of the scheduler")]
Guidance = Annotated[float | None, typer.Option(help="guidance scale (default: the pipeline's)")]
Size = Annotated[int | None, typer.Option(help="height and width in pixels (default: the pipeline's)")]
Device = Annotated[str, typer.Option(help="torch device; 'auto' takes a GPU if there is one")]
Seed = Annotated[int, typer.Option(help="seed of the noise")]
Out = Annotated[Path, typer.Option(help="folder for pictures and recipe")]
Dry = Annotated[bool, typer.Option("--dry-run", help="say what it would cost, and stop")]
Images = Annotated[Path | None, typer.Option(help="folder of pictures")]


@diffusers_app.command("learn")
def learn_command(
    pipeline: Pipeline,
    images: Annotated[Path, typer.Option(help="folder of pictures that the fusion is to explain")],
    adapter: Adapter = None,
    other: Other = None,
    prompt: Prompt = None,
    prompts: Annotated[Path | None, typer.Option(help="text file, one prompt a picture, in order of names")] = None,
    bins: Annotated[int | None, typer.Option(help="ranges of noise with weights of their own")] = None,
    nodes: Annotated[int, typer.Option(help="noise levels")] = 8,
    evaluations: Annotated[int | None, typer.Option(help="most network evaluations to spend")] = None,
    size: Size = None,
    device: Device = "auto",
    seed: Seed = 0,
    out: Out = Path("fusion"),
    dry_run: Dry = False,
    as_json: Json = False,
) -> None:
    """Learn the weights from pictures, with intervals, and write a recipe of the sfbench.diffusers."""
    import numpy as np

    if prompts is not None and not prompts.is_file():
        raise ValueError(f"--prompts: there is no file {str(prompts)!r}")
    pipe, experts = _open(pipeline, adapter, other, device)
    pictures = sfbench.diffusers.latents.as_pictures(images)
    full = 2 * len(experts) * len(pictures) * (max(nodes, 2 * bins) if bins else nodes)
    _say_cost(min(full, evaluations or full), "to learn from", len(pictures), dry_run)
    labels: Any = prompts.read_text().splitlines() if prompts is not None else _as_prompt(pipe, prompt)
    options: dict[str, Any] = _options(None, size) | {"prompts": labels, "bins": bins, "n_nodes": nodes, "rng": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the summary carries the same words
        fit = sfbench.diffusers.learn_weights(
            pipe, experts, pictures, evaluations=evaluations, progress=on_terminal(), **options
        )
    with sfbench.diffusers.fused(pipe, experts, fit) as handle:
        handle.save(output_folder(out))
    if as_json:
        weights = getattr(fit.weights, "weights", fit.weights)  # by bins, or constant
        about = {"weights": np.asarray(weights).tolist(), "interval": fit.confidence_interval().tolist()}
        about |= {"adequacy": fit.adequacy and fit.adequacy.to_dict(), "warnings": list(fit.warnings)}
        print(json.dumps({"experts": list(experts)} | about))
    else:
        print(f"experts: {', '.join(experts)}\n{fit.summary()}\nrecipe: {out / 'recipe.json'}")


@diffusers_app.command("sample")
def sample_command(
    pipeline: Pipeline,
    adapter: Adapter = None,
    other: Other = None,
    prompt: Prompt = None,
    weights: Weights = None,
    recipe: Annotated[Path | None, typer.Option(help="folder or picture with a recipe, in place of --weights")] = None,
    sampler: Annotated[str, typer.Option(help="fused, switched, ode or corrected")] = "fused",
    linearise: Annotated[bool, typer.Option("--linearise", help="switch off clipping and thresholding")] = False,
    n: Number = 4,
    steps: Steps = 30,
    guidance: Guidance = None,
    size: Size = None,
    device: Device = "auto",
    seed: Seed = 0,
    out: Out = Path("fusion"),
    dry_run: Dry = False,
    as_json: Json = False,
) -> None:
    """Draw pictures, say which law they follow, and write them with the recipe inside."""
    from ..sampling.errors import TrustWarning

    pipe, experts = _open(pipeline, adapter, other, device, least=1 if recipe is None else 0)
    runs = 1 if sampler == "switched" else max(len(experts), 1)
    _say_cost(runs * steps * n, "for", n, dry_run)
    options = _options(guidance, size) | {"steps": steps, "rng": seed, "verbose": not as_json, "linearise": linearise}
    options["scheduler"] = None if sampler == "ode" else _sde_scheduler(pipe)
    with _fused(pipe, experts, weights, recipe), warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # the report carries the same words
        result = sfbench.diffusers.sample(pipe, _as_prompt(pipe, prompt), n, sampler, **options)  # type: ignore[arg-type]
        files = result.save(output_folder(out))
        sheet = sfbench.diffusers.tile({result.law: result.images})
        sfbench.diffusers.save_images([sheet], out, handle=result.handle, seed=result.seed, names="grid.png")
    if as_json:
        reach = None if result.pilot is None else result.pilot.verdict(n)
        about = {"law": result.law, "seed": result.seed, "ess": result.ess, "pilot": reach}
        about |= {"weights": result.weights.tolist(), "messages": list(result.diagnostics.messages)}
        print(json.dumps(about | {"images": list(map(str, files))}))
    else:
        print(result)


@diffusers_app.command("grid")
def grid_command(
    pipeline: Pipeline,
    adapter: Adapter = None,
    other: Other = None,
    prompt: Prompt = None,
    rows: Annotated[int, typer.Option(min=2, help="steps from one expert to the other, for two")] = 5,
    n: Number = 4,
    steps: Steps = 30,
    guidance: Guidance = None,
    size: Size = None,
    device: Device = "auto",
    seed: Seed = 0,
    out: Out = Path("fusion"),
    dry_run: Dry = False,
    as_json: Json = False,
) -> None:
    """Draw a grid of pictures: weights down, seeds across, the same noise in a column."""
    pipe, experts = _open(pipeline, adapter, other, device)
    weights = sfbench.diffusers.weight_steps(len(experts), rows)
    _say_cost(int((weights > 0).sum()) * steps * n, "for", n * len(weights), dry_run)
    with sfbench.diffusers.fused(pipe, experts) as handle:
        options = _options(guidance, size) | {"num_inference_steps": steps}
        drawn = sfbench.diffusers.draw_grid(handle, weights, _as_prompt(pipe, prompt), n, rng=seed, **options)
        sfbench.diffusers.save_images(
            [sfbench.diffusers.tile(drawn)], output_folder(out), handle=handle, seed=seed, names="grid.png"
        )
    about = {"experts": list(experts), "weights": weights.tolist(), "grid": str(out / "grid.png")}
    print(json.dumps(about) if as_json else f"experts: {', '.join(experts)}; grid: {out / 'grid.png'}")


@diffusers_app.command("compare")
def compare_command(
    pipeline: Pipeline,
    adapter: Adapter = None,
    other: Other = None,
    prompt: Prompt = None,
    weights: Weights = None,
    ways: Annotated[str, typer.Option(help="ways, comma separated")] = "fused,switched,mixture,linear",
    images: Images = None,
    n: Number = 4,
    steps: Steps = 30,
    guidance: Guidance = None,
    size: Size = None,
    device: Device = "auto",
    seed: Seed = 0,
    out: Out = Path("fusion"),
    dry_run: Dry = False,
    as_json: Json = False,
) -> None:
    """Draw with several ways of combining the experts from the same noise; measure them on pictures that exist.

    With superdiff all ways draw with steps of the reverse SDE, in place of the pipeline's.
    """
    import numpy as np

    pipe, experts = _open(pipeline, adapter, other, device)
    names = [name.strip() for name in ways.split(",")]
    pictures = None if images is None else sfbench.diffusers.latents.as_pictures(images)
    w, k, seen = numbers("--weights", weights), len(experts), len(pictures or ())
    runs = sum(sfbench.diffusers.comparing.runs_of(name, np.ones(k) if w is None else np.asarray(w)) for name in names)
    measured = k + len({*names} & {"adapters", *sfbench.diffusers.merging.MERGES})  # merged networks are measured too
    _say_cost(runs * steps * n + 16 * measured * seen, "for", n * len(names) + seen, dry_run)
    options: dict[str, Any] = {"steps": steps, "images": pictures, "prompts": _as_prompt(pipe, prompt), "rng": seed}
    options["learning"] = _options(None, size)
    options["scheduler"] = _sde_scheduler(pipe) if {*names} & {"superdiff", "superdiff_and"} else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the fit is only a measure here
        result = sfbench.diffusers.compare(
            pipe, experts, w, _as_prompt(pipe, prompt), ways=names, n=n, **options, **_options(guidance, size)
        )
    sheet = sfbench.diffusers.tile({way.name: way.images for way in result.ways})
    with sfbench.diffusers.fused(pipe, experts, w) as handle:
        sfbench.diffusers.save_images([sheet], output_folder(out), handle=handle, seed=seed, names="compare.png")
    fields = ("name", "runs", "seconds", "loss", "stderr")
    record = [{field: getattr(way, field) for field in fields} for way in result.ways]
    print(json.dumps(record) if as_json else f"{result}\npictures: {out / 'compare.png'}")


# ---------------------------------------------------------------------------------------------- what they share
def _open(
    name: str, adapters: list[str] | None, others: list[str] | None, device: str, *, least: int = 1
) -> tuple[Any, dict[str, Any]]:
    """A pipeline on its device, and the experts by name."""
    pipe = sfbench.diffusers.open_on(name, device)
    experts: dict[str, Any] = {}
    for text in adapters or []:
        label, equals, where = text.partition("=")
        if not equals or not label or not where:
            raise ValueError(f"--adapter takes name=file, got {text!r}")
        if label in experts:
            raise ValueError(f"two experts are called {label!r}")
        sfbench.diffusers.load_adapter(pipe, label, where)
        experts[label] = label
    for where in others or []:
        experts[where] = sfbench.diffusers.open_on(where, device)
    if len(experts) < least:
        raise ValueError("nothing to fuse: give --adapter name=file or --other PIPELINE, or several of them")
    if others and not adapters:
        experts = {name: pipe} | experts
    elif len(experts) == 1 and least:
        experts = {"__base__": "__base__"} | experts  # one adapter, against the network without it
    return pipe, experts


def _as_prompt(pipe: Any, text: str | None) -> Any:
    """A prompt, or the class of a pipeline of classes."""
    known = sfbench.diffusers.calling.accepted(pipe)
    if "class_labels" in known and text is not None:
        return int(text) if text.isdecimal() else text
    return "" if text is None and "prompt" in known else text


def _sde_scheduler(pipe: Any) -> Any:
    """Steps of the reverse SDE, at Karras' levels where the networks know a table of betas."""
    spread = {"use_karras_sigmas": True} if sfbench.diffusers.from_scheduler(pipe.scheduler).kind == "vp" else {}
    return sfbench.diffusers.sde_scheduler(pipe, **spread)


def _options(guidance: float | None, size: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {} if size is None else {"height": size, "width": size}
    return options if guidance is None else options | {"guidance_scale": guidance}


def _say_cost(evaluations: int, what: str, pictures: int, stop: bool) -> None:
    """The cost, on standard error, before anything runs."""
    typer.echo(f"sfbench: {evaluations:,} network evaluations {what} {pictures:,} pictures", err=True)
    if stop:
        raise typer.Exit


@contextmanager
def _fused(pipe: Any, experts: dict[str, Any], weights: str | None, recipe: Path | None) -> Iterator[Any]:
    if recipe is not None and weights is not None:
        raise ValueError("--recipe brings its weights: leave --weights out")
    given = numbers("--weights", weights)
    if recipe is not None:
        kept = (recipe if recipe.is_dir() else recipe.parent) / "adapters"
        for expert in sfbench.diffusers.read_recipe(recipe)["experts"]:
            name = expert.get("adapter", "__base__")
            if name != "__base__" and name not in experts and not (kept / name).is_dir():
                raise ValueError(f"the recipe fuses the adapter {name!r}: give --adapter {name}=file")
    handle = (
        sfbench.diffusers.fuse(pipe, experts, given)
        if recipe is None
        else sfbench.diffusers.load(pipe, recipe, experts=experts)
    )
    try:
        yield handle
    finally:
        handle.remove()
