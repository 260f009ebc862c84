"""``sfbench compare``: which of several fits and models denoises the same data best."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Device, Json, Module, Seed, named, on_terminal, output_folder, print_table

if TYPE_CHECKING:
    from ..fusion import Comparison
    from .sources import Source


def compare_command(
    places: Annotated[
        list[str],
        typer.Argument(
            help=r"\[name=]folder of a fit or checkpoint, or module:object; a fit alone is compared with its models",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="held-out points: .npy, .npz or .csv (default: new ones of the fits' problem)")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="points (default: 1024, or all of --data)")] = None,
    n_times: Annotated[int, typer.Option(help="times at which losses are measured")] = 12,
    t_min: Annotated[float | None, typer.Option(help="first time (default: 1e-3 of the horizon)")] = None,
    n_samples: Annotated[int, typer.Option(help="draw so many points of each and measure their distance too")] = 0,
    process: Annotated[
        str | None, named("processes", "forward process of laws that do not say theirs (default: that of the fits)")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="draw losses by time: .pdf, .png or .svg")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Denoising losses of fits and models on the same points and noise; the others are held against the first."""
    import numpy as np

    from ..fusion import compare
    from ..processes import make_process
    from .sources import common_process, load_points

    if n is not None and n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    if seed < 0:
        raise ValueError(f"--seed must be at least 0, got {seed}")
    if figure is not None and figure.suffix not in (".pdf", ".png", ".svg"):
        raise ValueError(f"--figure takes the name of a .pdf, .png or .svg file, got {str(figure)!r}")
    models, fits = _models(places, module or [], device)
    own = make_process(process) if process else common_process(*(fit.fused for fit in fits.values()), *models.values())
    data_rng, noise_rng = np.random.default_rng(seed).spawn(4)[2:]  # not those of sfbench fuse with this seed
    if data is None:
        x, origin = _target(fits.values()).sample(n or 1024, rng=data_rng), None
    else:
        points, origin = load_points(data)
        x = points[:n]
    if figure is not None:  # before anything is computed
        output_folder(figure.parent)
    settings: dict[str, Any] = {"process": own, "n_times": n_times, "t_min": t_min, "n_samples": n_samples}
    table = compare(models, x, progress=on_terminal(), rng=noise_rng, **settings)
    seen = [name for name, fit in fits.items() if origin and fit.data and fit.data["sha256"] == origin["sha256"]]
    notes = [f"{name!r} was fitted to these points, which flatters it: compare on others" for name in seen]
    if figure is not None:
        _draw(table, figure)
    if as_json:
        rows = [{"model": name} | row for name, row in table.to_dict().items()]
        print(json.dumps({"n": len(x), "data": origin, "seed": seed, "models": rows, "notes": notes}))
        return
    header, *cells = table.cells()
    print_table(f"Denoising losses on n = {len(x)} points", header, cells)
    for note in notes:
        print(f"note: {note}")
    if figure is not None:
        print(f"drawn in {figure}")


def _models(places: Sequence[str], modules: Sequence[str], device: str) -> "tuple[dict[str, Any], dict[str, Source]]":
    """What is compared, by name, and the fits among it; a fit alone brings its models."""
    from ..scores import FusedScore
    from .sources import is_fit, kept_fit, load_model, split_name

    models: dict[str, Any] = {}
    fits: dict[str, Source] = {}
    for given in places:
        name, place = split_name(given)
        path = Path(place)
        name = name or path.name or place
        if name in models:
            raise ValueError(f"two models are called {name!r}: give them names, as in first={place}")
        if is_fit(path) or path.suffix == ".json":
            fits[name] = kept_fit(path, modules=modules, device=device)
        models[name] = fits[name].fused if name in fits else load_model(place, modules, device)
    if len(models) == len(fits) == 1:
        [fit] = fits.values()
        models |= dict(zip(fit.labels, fit.models, strict=True))
        if (k := len(fit.models)) > 1:
            models["equal weights"] = FusedScore(fit.models, [1.0 / k] * k, process=fit.process)
    return models, fits


def _target(fits: "Iterable[Source]") -> Any:
    """The target of the problem that all fits are fits of."""
    problems = {repr(fit.problem): fit.problem for fit in fits}
    [problem] = problems.values() if len(problems) == 1 else [None]
    if problem is None:
        raise ValueError("--data is needed: only fits of one named problem come with a target to draw points from")
    return problem.target


def _draw(table: "Comparison", path: Path) -> None:
    """Losses by time in a file."""
    import matplotlib as mpl

    from ..files import write_atomically

    mpl.use("Agg")
    figure = table.plot().figure
    write_atomically(path, lambda f: figure.savefig(f, format=path.suffix[1:], dpi=200), binary=True)
