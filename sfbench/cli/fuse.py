"""``sfbench fuse``: fit weights to samples of a named problem, or of models and data of one's own."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    PROBLEM,
    PROCESS,
    End,
    Estimator,
    Json,
    Module,
    Param,
    Seed,
    Solver,
    Start,
    attempt,
    build_problem,
    named,
    on_terminal,
    output_folder,
    print_table,
)

if TYPE_CHECKING:
    from ..fusion import FusionResult
    from .sources import Source

METRICS = ("total_variation", "kl_divergence")


def fuse_command(
    problem: Annotated[str | None, named("problems", f"problem family (default: {PROBLEM})")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="target samples (default: 1024, or all of --data)")] = None,
    data: Annotated[Path | None, typer.Option(help="points of your own: .npy, .npz or .csv, with --model")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="checkpoint folder, folder of a fit, or module:object; repeat")
    ] = None,
    solver: Solver = "auto",
    estimator: Estimator = "antithetic",
    process: Annotated[
        str | None, named("processes", f"forward process (default: the models' own, else {PROCESS})")
    ] = None,
    t_min: Start = 1e-3,
    t_max: End = None,
    metric: Annotated[
        list[str] | None, named("metrics", f"distance of target and barycenter; repeat (default: {', '.join(METRICS)})")
    ] = None,
    param: Param = None,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="torch device of checkpoints")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="folder to keep the fit in, for sfbench sample")] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Fit fusion weights; for a named problem, compare them with the truth."""
    import numpy as np

    from ..files import write_json
    from ..fusion import fuse
    from ..metrics import get_metric
    from ..statistics import GramSettings
    from .sources import FIT, load_points, of_models, of_problem

    if n is not None and n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    if (data is None) != (not model):
        raise ValueError("--data and --model go together: points of yours, and the models to fuse on them")
    if data is not None and (problem or param):
        raise ValueError("--problem and --param describe a named problem; leave them out with --data")
    metrics = {name: get_metric(name) for name in metric or METRICS}  # unknown names are refused before any work
    data_rng, noise_rng = np.random.default_rng(max(seed, 0)).spawn(2)
    if data is None:
        built = build_problem(problem or PROBLEM, param or [], seed)
        source, x, origin = of_problem(built, process), built.target.sample(n or 1024, rng=data_rng), None
    else:
        source = of_models(model or [], process, modules=module or [], device=device)
        points, origin = load_points(data)
        x = points[:n]
    folder = None if out is None else output_folder(out)
    settings: dict[str, Any] = {"t_min": t_min, "t_max": t_max, "estimator": estimator, "solver": solver}
    result = fuse(source.models, x, process=source.process, rng=noise_rng, progress=on_terminal(), **settings)
    used = GramSettings(source.process, result.grid, estimator)
    record = source.origin | _record(source, result, metrics, t_min, t_max)
    record |= {"data": origin, "seed": seed, "evaluations": used.evaluations(len(source.models), result.gram.n)}
    if folder is not None:
        write_json(folder / FIT, record)
    if as_json:
        print(json.dumps(record))
        return
    _print(source.title, record)
    if folder is not None:
        print(f"kept in {folder}; draw from it with: sfbench sample {folder}")


def _record(
    source: "Source", result: "FusionResult", metrics: dict[str, Any], t_min: float, t_max: float | None
) -> dict[str, Any]:
    """Weights and, for a named problem, their distance from the truth and the certificate of the run."""
    from synthetic import EffectiveSampleSizeError, IntractableError

    from ..bounds import certificate, total_variation_certificate
    from ..errors import GramError, ModelError

    truth, weights, final = source.problem, result.weights, source.process.horizon if t_max is None else t_max
    unknown = IntractableError("the target is known by samples only")

    def distance(metric: Any) -> Any:
        if truth is None:
            raise unknown
        return metric(truth.target, truth.barycenter(weights))

    def bounds() -> Any:
        if truth is None:
            raise unknown
        kl = certificate(truth, weights, process=source.process, t_min=t_min, t_max=final)
        return kl, total_variation_certificate(kl)

    distances = {}
    for name, metric in metrics.items():
        found, reason = attempt(partial(distance, metric), EffectiveSampleSizeError, IntractableError, ModelError)
        distances[name] = {"value": getattr(found, "value", None), "stderr": getattr(found, "stderr", None)}
        distances[name] |= {"method": getattr(found, "method", None), "unavailable": reason}
    pair, reason = attempt(bounds, IntractableError, GramError)
    kl, tv = pair or (None, None)
    return {
        "n": result.gram.n,
        "window": [t_min, final],
        "weights": weights.tolist(),
        "intervals_90": result.confidence_interval(0.9).tolist(),
        "true_weights": None if truth is None or truth.true_weights is None else truth.true_weights.tolist(),
        "gap": result.solver.gap,
        "solver": result.solver.solver,
        "distances": distances,
        "certificate": {"kl": kl and kl.value, "tv": tv and tv.value, "unavailable": reason},
        "warnings": list(result.warnings),
    }


def _print(title: str, record: dict[str, Any]) -> None:
    true, models = record["true_weights"], record["models"]
    columns = ["auxiliary", "weight", "90 % interval", *([] if true is None else ["weight of the target"])]
    rows = []
    for i, (w, (low, high)) in enumerate(zip(record["weights"], record["intervals_90"], strict=True)):
        name = str(i) if models is None else str(models[i]["place"])
        rows.append([name, f"{w:.4f}", f"[{low:.4f}, {high:.4f}]", *([] if true is None else [f"{true[i]:.4f}"])])
    title = f"{title if models is None else record['data']['path']}, n = {record['n']}"
    print_table(title, columns, rows)
    lines = [["gap certified by the solver", f"{record['gap']:.2e} ({record['solver']})"]]
    if models is None:
        for name, entry in record["distances"].items():
            error = f" +- {entry['stderr']:.1e}" if entry["stderr"] else ""
            known = "" if entry["value"] is None else f"{entry['value']:.6f}{error} ({entry['method']})"
            lines.append([f"{name} (target, barycenter p_w)", known or f"not known: {entry['unavailable']}"])
        certificate = record["certificate"]
        for key, label in (("kl", "KL(target at t_min || fused law)"), ("tv", "TV(target at t_min, fused law)")):
            known = "" if certificate[key] is None else f"at most {certificate[key]:.6f}"
            lines.append([f"certificate: {label}", known or f"not known: {certificate['unavailable']}"])
    lines.append(["score evaluations", f"{record['evaluations']:,}"])
    print_table("Against the truth" if models is None else "The fit", ["quantity", "value"], lines)
    for text in record["warnings"]:  # sentences, too long for a column
        print(f"warning: {text}")
