"""``sfbench fuse``: fit weights on samples of a named problem and compare them with the truth."""

import json
from typing import Annotated, Any

import numpy as np
import typer

from synthetic import EffectiveSampleSizeError, IntractableError, SyntheticProblem

from .. import bounds
from .._typing import Float64Array
from ..errors import GramError
from ..fusion import fuse
from ..metrics import kl_divergence, total_variation
from ..processes import ForwardProcess, known_processes, make_process
from .common import Json, build_problem, print_table

_LABELS = {
    "tv_barycenter_to_target": "TV(target, barycenter p_w)",
    "kl_target_to_barycenter": "KL(target || barycenter p_w)",
    "certificate_kl_target_to_fused": "certificate: KL(target at t_min || fused law) <=",
    "certificate_tv_target_to_fused": "certificate: TV(target at t_min, fused law) <=",
}


def fuse_command(
    problem: Annotated[str, typer.Option(help="problem family")] = "shifted_gaussians",
    n: Annotated[int, typer.Option(help="target samples")] = 1024,
    solver: Annotated[str, typer.Option(help="solver backend")] = "auto",
    estimator: Annotated[str, typer.Option(help="antithetic, dsm or stein")] = "antithetic",
    process: Annotated[str, typer.Option(help=", ".join(known_processes()))] = "ornstein_uhlenbeck",
    t_min: Annotated[float, typer.Option(help="start of the time window")] = 1e-3,
    t_max: Annotated[float | None, typer.Option(help="end of the time window [default: the process's horizon]")] = None,
    param: Annotated[list[str] | None, typer.Option(help="problem parameter as name=value; repeat")] = None,
    seed: Annotated[int, typer.Option(help="seed of problem, data and noise")] = 0,
    as_json: Json = False,
) -> None:
    """Fit fusion weights on samples of a named problem and compare them with the truth."""
    chosen = make_process(process)
    if n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    built = build_problem(problem, param or [], seed)
    data_rng, noise_rng = np.random.default_rng(seed).spawn(2)
    x = built.target.sample(n, rng=data_rng)
    settings: dict[str, Any] = {"t_min": t_min, "t_max": t_max, "estimator": estimator, "solver": solver}
    result = fuse(built.auxiliaries, x, process=chosen, rng=noise_rng, **settings)
    record: dict[str, Any] = {
        "problem": repr(built),
        "n": n,
        "weights": result.weights.tolist(),
        "intervals_90": result.confidence_interval(0.9).tolist(),
        "true_weights": None if built.true_weights is None else built.true_weights.tolist(),
        "gap": result.solver.gap,
        "solver": result.solver.solver,
        "warnings": list(result.warnings),
    }
    record |= _distances(built, result.weights) | _certificate(built, result.weights, chosen, t_min, t_max)
    if as_json:
        print(json.dumps(record))
    else:
        _print(record)


def _distances(problem: SyntheticProblem, weights: Float64Array) -> dict[str, Any]:
    """TV and KL between target and barycenter, or the reason why one is not known."""
    fused = problem.barycenter(weights)
    found: dict[str, Any] = {}
    for name, metric in (("tv_barycenter_to_target", total_variation), ("kl_target_to_barycenter", kl_divergence)):
        try:
            estimate = metric(problem.target, fused)
            found[name] = {"value": estimate.value, "stderr": estimate.stderr, "method": estimate.method}
        except (EffectiveSampleSizeError, IntractableError) as error:
            found[name] = {"unavailable": str(error)}
    return found


def _certificate(
    problem: SyntheticProblem, weights: Float64Array, process: ForwardProcess, t_min: float, t_max: float | None
) -> dict[str, Any]:
    """The certificate of the run where the problem's population statistics are known; else the reason."""
    final = process.horizon if t_max is None else t_max
    try:
        certificate = bounds.certificate(problem, weights, process=process, t_min=t_min, t_max=final)
    except (IntractableError, GramError) as error:
        return {"certificate": {"unavailable": str(error)}}
    tv = bounds.total_variation_certificate(certificate)
    return {"certificate_kl_target_to_fused": certificate.value, "certificate_tv_target_to_fused": tv.value}


def _print(record: dict[str, Any]) -> None:
    true = record["true_weights"]
    rows = [
        [str(i), f"{w:.4f}", f"[{low:.4f}, {high:.4f}]", "-" if true is None else f"{true[i]:.4f}"]
        for i, (w, (low, high)) in enumerate(zip(record["weights"], record["intervals_90"], strict=True))
    ]
    title = f"{record['problem']}, n = {record['n']}"
    print_table(title, ["auxiliary", "weight", "90 % interval", "weight of the target"], rows)
    lines = [["certified gap", f"{record['gap']:.2e} ({record['solver']})"]]
    for key, label in _LABELS.items():
        entry = record.get(key)
        if isinstance(entry, float):
            lines.append([label, f"{entry:.6f}"])
        elif isinstance(entry, dict) and "value" in entry:
            error = f" +- {entry['stderr']:.1e}" if entry["stderr"] else ""
            lines.append([label, f"{entry['value']:.6f}{error} ({entry['method']})"])
        elif isinstance(entry, dict):
            lines.append([label, f"not known: {entry['unavailable']}"])
    if "certificate" in record:
        lines.append(["certificate", f"not known: {record['certificate']['unavailable']}"])
    print_table("Against the truth", ["quantity", "value"], lines)
    for text in record["warnings"]:  # sentences, too long for a column
        print(f"warning: {text}")
