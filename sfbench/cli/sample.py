"""``sfbench sample``: draw from a fused law, flow law or barycenter, and say which it was."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    PROBLEM,
    PROCESS,
    Device,
    Json,
    Module,
    Param,
    Seed,
    attempt,
    build_problem,
    named,
    numbers,
    on_terminal,
    output_folder,
)

if TYPE_CHECKING:
    from ..sampling import SampleResult


def sample_command(
    fit: Annotated[
        Path | None,
        typer.Argument(help="folder of sfbench fuse --out or result.save, or a JSON document", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="models of a fit that does not say where they are, in its order; repeat")
    ] = None,
    problem: Annotated[str | None, named("problems", f"problem family (default: {PROBLEM})")] = None,
    weights: Annotated[
        str | None, typer.Option(help="weights, comma separated (default: those of the fit, else equal)")
    ] = None,
    sampler: Annotated[str, named("samplers", "sampler or integrator (see: sfbench names)")] = "fused",
    n: Annotated[int, typer.Option("--n", "-n", help="number of points")] = 10_000,
    steps: Annotated[int | None, typer.Option(help="number of steps (default: the sampler's)")] = None,
    process: Annotated[str | None, named("processes", f"forward process (default: the fit's, else {PROCESS})")] = None,
    param: Param = None,
    seed: Seed = 0,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="write points and log weights to this .npz file")] = None,
    check_steps: Annotated[bool, typer.Option(help="draw a tenth again with half the steps and compare")] = True,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Sample the fusion of a fit, or of a named problem's auxiliaries; say which law it is and whether to trust it."""
    import warnings

    import numpy as np

    from synthetic import IntractableError, LogLinearPool

    from ..files import write_atomically
    from ..sampling import TrustWarning, sample
    from ..scores import FusedScore
    from .sources import kept_fit, of_problem

    if fit is not None and (problem or param or process):
        raise ValueError("a fit has its own problem and process: leave out --problem, --param and --process")
    if out is not None and (out.suffix != ".npz" or out.is_dir()):
        raise ValueError(f"--out takes the name of an .npz file to write, got {str(out)!r}")
    if model and fit is None:
        raise ValueError("--model gives the folder of a fit its models; sfbench fuse makes one")
    chosen = numbers("--weights", weights)
    if fit is None:
        source = of_problem(build_problem(problem or PROBLEM, param or [], seed), process)
    else:
        source = kept_fit(fit, model or [], modules=module or [], device=device)
    if source.fused is not None and chosen is None:
        fused = source.fused
    else:
        equal = [1.0 / len(source.models)] * len(source.models)
        fused = FusedScore(source.models, chosen or equal, process=source.process)
    if out is not None:  # before anything is computed
        output_folder(out.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # the report carries the same words
        result = sample(fused, n, sampler, steps=steps, progress=on_terminal(), check_steps=check_steps, rng=seed)
    if out is not None:
        write_atomically(out, lambda f: np.savez(f, x=result.x, log_weights=result.log_weights), binary=True)
    weights_used = fused.weights if fused.is_constant else fused.schedule.weights
    record = source.origin | {"weights": weights_used.tolist()} | _record(result)
    if source.problem is not None and fused.is_constant and result.diagnostics.log_partition is not None:
        pool = LogLinearPool(source.problem.auxiliaries, fused.weights)
        record["log_z_truth"], _ = attempt(lambda: pool.log_partition().value, IntractableError)
    truth = "" if record["log_z_truth"] is None else f"\n  log Z exactly: {record['log_z_truth']:.6g}"
    print(json.dumps(record) if as_json else f"{source.title}\n{result!r}{truth}")


def _record(result: "SampleResult") -> dict[str, Any]:
    import numpy as np

    d = result.diagnostics
    return {
        "law": result.law,
        "n": len(result.x),
        "t_min": result.t_min,
        "mean": (result.weights @ np.nan_to_num(result.x))[:8].tolist(),
        "ess": result.ess,
        "founders": d.founders,
        "log_z": d.log_partition and {"value": d.log_partition.value, "stderr": d.log_partition.stderr},
        "log_z_truth": None,
        "log_z_errors": dict(d.log_partition_errors),
        "lost_share": d.lost_share,
        "score_evaluations": d.n_score_evaluations,
        "trustworthy": d.trustworthy,
        "messages": list(d.messages),
    }
