"""``sfbench fuse``: fit weights to samples of a named problem, or of models and data of one's own."""

import json
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .common import (
    PROBLEM,
    PROCESS,
    Device,
    End,
    Estimator,
    Json,
    Module,
    Param,
    Seed,
    Solver,
    attempt,
    build_problem,
    named,
    on_terminal,
    output_folder,
    print_table,
)

if TYPE_CHECKING:
    from ..fusion import Adequacy, FusionOverTime, FusionResult
    from ..statistics import NodeStatistics
    from .sources import Source

METRICS = ("total_variation", "kl_divergence")


def fuse_command(
    problem: Annotated[str | None, named("problems", f"problem family (default: {PROBLEM})")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="target samples (default: 1024, or all of --data)")] = None,
    data: Annotated[Path | None, typer.Option(help="points of your own: .npy, .npz or .csv, with --model")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help=r"\[name=]checkpoint folder, folder of a fit, or module:object; repeat"),
    ] = None,
    solver: Solver = "auto",
    estimator: Estimator = "antithetic",
    process: Annotated[
        str | None, named("processes", f"forward process (default: the models' own, else {PROCESS})")
    ] = None,
    t_min: Annotated[
        float | None, typer.Option(help="start of the time window (default: 1e-3, or where models were trained)")
    ] = None,
    t_max: End = None,
    bins: Annotated[int | None, typer.Option(help="weights that change with time: so many bins")] = None,
    smoothing: Annotated[float, typer.Option(help="how strongly bins are held together")] = 0.0,
    metric: Annotated[
        list[str] | None, named("metrics", f"distance of target and barycenter; repeat (default: {', '.join(METRICS)})")
    ] = None,
    param: Param = None,
    seed: Seed = 0,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="folder to keep the fit in, for sfbench sample")] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Fit fusion weights; for a named problem, compare them with the truth."""
    import numpy as np

    from ..files import write_json
    from ..fusion import fuse
    from ..metrics import get_metric
    from ..processes import describe_process
    from .sources import FIT, load_points, modules_of, of_models, of_problem

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
    settings: dict[str, Any] = {"t_min": t_min, "t_max": t_max, "estimator": estimator, "solver": solver}
    settings |= {"bins": bins, "smoothing": smoothing, "names": source.names, "progress": on_terminal()}
    folder = None
    if out is not None:
        describe_process(source.process)  # one that no file can hold is refused before any work
        folder = output_folder(out)
    with warnings.catch_warnings(record=True) as said:  # the record holds them, and they are printed with it
        warnings.simplefilter("always")
        result = fuse(source.models, x, process=source.process, rng=noise_rng, **settings)
    record = source.origin | _record(source, result, metrics) | {"data": origin, "seed": seed}
    record["warnings"] = list(dict.fromkeys([*record["warnings"], *(str(one.message) for one in said)]))
    if folder is not None:
        (folder / FIT).unlink(missing_ok=True)  # that of an older fit must not describe this one
        result.save(folder)
        write_json(folder / FIT, record)
    if as_json:
        print(json.dumps(record))
        return
    _print(source, record, getattr(result, "adequacy", None))
    if folder is not None:
        allowed = "".join(f" --module {where}" for where in dict.fromkeys([*modules_of(record), *(module or [])]))
        print(f"kept in {folder}; draw from it with: sfbench sample {folder}{allowed}")


def _record(
    source: "Source",
    result: "FusionResult | FusionOverTime",
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """Weights and, for a named problem, their distance from the truth and the certificate of the run."""
    from synthetic import EffectiveSampleSizeError, IntractableError

    from ..bounds import certificate, total_variation_certificate
    from ..errors import GramError, ModelError
    from ..fusion import FusionOverTime
    from ..metrics import measure

    truth, answer = source.problem, result.solver
    over_time, schedule = isinstance(result, FusionOverTime), result.score.schedule
    used = cast("NodeStatistics", result.statistics)  # which score matching always has
    first, final = used.settings.grid.ends
    unknown = IntractableError("the target is known by samples only")

    def distance(metric: Any) -> Any:
        if truth is None:
            raise unknown
        if over_time:
            raise IntractableError("weights that change with time have no barycenter")
        return measure(metric, truth.target, truth.barycenter(schedule.weights[0]))

    def bounds() -> Any:
        if truth is None:
            raise unknown
        kl = certificate(truth, result.weights, process=source.process, t_min=first, t_max=final)
        return kl, total_variation_certificate(kl)

    distances = {}
    for name, metric in metrics.items():
        found, reason = attempt(partial(distance, metric), EffectiveSampleSizeError, IntractableError, ModelError)
        distances[name] = {"value": getattr(found, "value", None), "stderr": getattr(found, "stderr", None)}
        distances[name] |= {"method": getattr(found, "method", None), "unavailable": reason}
    pair, reason = attempt(bounds, IntractableError, GramError)
    kl, tv = pair or (None, None)
    judged = getattr(result, "adequacy", None)  # which weights over time have not
    intervals, _ = attempt(lambda: result.confidence_interval(0.9).tolist(), GramError)
    return {
        "n": used.n,
        "window": [float(end) for end in used.settings.grid.ends],  # where models were trained, by default
        "edges": schedule.edges.tolist() if over_time else None,
        "weights": (schedule.weights if over_time else schedule.weights[0]).tolist(),
        "intervals_90": intervals,
        "true_weights": None if truth is None or truth.true_weights is None else truth.true_weights.tolist(),
        "gap": answer.gap,
        "solver": getattr(answer, "solver", "solve_over_time"),
        "distances": distances,
        "certificate": {"kl": kl and kl.value, "tv": tv and tv.value, "unavailable": reason},
        "adequacy": judged and judged.to_dict(),
        "evaluations": used.settings.evaluations(len(source.models), used.n),
        "warnings": list(getattr(result, "warnings", ())),
    }


def _print(source: "Source", record: dict[str, Any], judged: "Adequacy | None") -> None:
    true, own = record["true_weights"], record["models"] is not None
    title = f"{record['data']['path'] if own else source.title}, n = {record['n']}"
    bins = [("", record["weights"], record["intervals_90"])]
    if record["edges"]:
        ends = zip(record["edges"][:-1], record["edges"][1:], strict=True)
        windows = [f"[{low:.3g}, {high:.3g}]" for low, high in ends]
        intervals = record["intervals_90"] or [None] * len(windows)
        bins = list(zip(windows, record["weights"], intervals, strict=True))
    rows = []
    for window, weights, found in bins:
        for i, (label, w) in enumerate(zip(source.labels, weights, strict=True)):
            interval = "tied by smoothing" if found is None else "[{:.4f}, {:.4f}]".format(*found[i])
            rows.append([window, label, f"{w:.4f}", interval, "" if true is None else f"{true[i]:.4f}"])
    columns = ["window of t", "auxiliary", "weight", "90 % interval", "weight of the target"]
    shown = [j for j in range(len(columns)) if any(row[j] for row in rows)]
    print_table(title, [columns[j] for j in shown], [[row[j] for j in shown] for row in rows])
    lines = [["gap certified by the solver", f"{record['gap']:.2e} ({record['solver']})"]]
    if not own:
        for name, entry in record["distances"].items():
            error = f" +- {entry['stderr']:.1e}" if entry["stderr"] else ""
            known = "" if entry["value"] is None else f"{entry['value']:.6f}{error} ({entry['method']})"
            lines.append([f"{name} (target, barycenter p_w)", known or f"not known: {entry['unavailable']}"])
        certificate = record["certificate"]
        for key, label in (("kl", "KL(target at t_min || fused law)"), ("tv", "TV(target at t_min, fused law)")):
            known = "" if certificate[key] is None else f"at most {certificate[key]:.6f}"
            lines.append([f"certificate: {label}", known or f"not known: {certificate['unavailable']}"])
    lines.append(["score evaluations", f"{record['evaluations']:,}"])
    print_table("The fit" if own else "Against the truth", ["quantity", "value"], lines)
    if judged is not None:
        print(judged.verdict(tuple(source.labels)))
    for text in record["warnings"]:  # sentences, too long for a column
        print(f"warning: {text}")
