"""``sfbench sample``: draw from a named problem's fused law, flow law or barycenter, and say which it was."""

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from synthetic import Estimate, IntractableError, LogLinearPool

from ..files import prepare_folder, write_atomically
from ..processes import known_processes, make_process
from ..sampling import SampleResult, TrustWarning, known_integrators, known_samplers, sample
from ..scores import FusedScore
from .common import Json, build_problem


def sample_command(
    problem: Annotated[str, typer.Option(help="problem family")] = "paper_mixture_1d",
    weights: Annotated[str | None, typer.Option(help="weights, comma separated [default: equal]")] = None,
    sampler: Annotated[str, typer.Option(help=", ".join([*known_samplers(), *known_integrators()]))] = "corrected",
    n: Annotated[int, typer.Option(help="number of points")] = 10_000,
    steps: Annotated[int | None, typer.Option(help="number of steps [default: the sampler's]")] = None,
    process: Annotated[str, typer.Option(help=", ".join(known_processes()))] = "ornstein_uhlenbeck",
    param: Annotated[list[str] | None, typer.Option(help="problem parameter as name=value; repeat")] = None,
    seed: Annotated[int, typer.Option(help="seed of problem and noise")] = 0,
    out: Annotated[Path | None, typer.Option(help="write points and log weights to this .npz file")] = None,
    check_steps: Annotated[bool, typer.Option(help="draw a tenth again with half the steps and compare")] = True,
    as_json: Json = False,
) -> None:
    """Sample the fusion of a named problem's auxiliaries and report which law it is and whether to trust it."""
    noising = make_process(process)
    if out is not None:  # before anything is computed
        if out.suffix != ".npz" or out.is_dir():
            raise ValueError(f"--out takes the name of an .npz file to write, got {str(out)!r}")
        prepare_folder(out.parent)
    built = build_problem(problem, param or [], seed)
    chosen = [1.0 / built.k] * built.k if weights is None else _weights(weights)
    fused = FusedScore(built.auxiliaries, chosen, process=noising)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # the report carries the same words
        result = sample(fused, n, sampler, steps=steps, progress=not as_json, check_steps=check_steps, rng=seed)
    if out is not None:
        write_atomically(out, lambda f: np.savez(f, x=result.x, log_weights=result.log_weights), binary=True)
    record = _record(result) | {"problem": repr(built), "weights": list(chosen)}
    if result.diagnostics.log_partition is not None:
        try:
            record["log_z_truth"] = LogLinearPool(built.auxiliaries, chosen).log_partition().value
        except IntractableError:
            record["log_z_truth"] = None
    print(json.dumps(record) if as_json else f"{built!r}\n{result!r}{_truth_line(record)}")


def _record(result: SampleResult) -> dict[str, Any]:
    d = result.diagnostics
    return {
        "law": result.law,
        "n": len(result.x),
        "t_min": result.t_min,
        "mean": (result.weights @ np.nan_to_num(result.x))[:8].tolist(),
        "ess": result.ess,
        "founders": d.founders,
        "log_z": _estimate(d.log_partition),
        "log_z_errors": dict(d.log_partition_errors),
        "lost_share": d.lost_share,
        "score_evaluations": d.n_score_evaluations,
        "trustworthy": d.trustworthy,
        "messages": list(d.messages),
    }


def _estimate(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "stderr": found.stderr}


def _truth_line(record: dict[str, Any]) -> str:
    truth = record.get("log_z_truth")
    return "" if truth is None else f"\n  log Z exactly: {truth:.6g}"


def _weights(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--weights takes numbers separated by commas, got {text!r}") from None
