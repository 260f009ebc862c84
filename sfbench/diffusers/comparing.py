"""Fusion and its rivals on the same noise: pictures side by side, and how well each explains pictures that exist.

================  ==================================================================  ===================
way               what is drawn                                                       network runs a step
================  ==================================================================  ===================
``fused``         the average of the predictions                                      k
``composite``     the same with equal weights (LoRA Composite)                        k
``switched``      one expert a step, in proportion to the weights (LoRA Switch)       1
``superdiff``     shares of the score by densities along the path (:mod:`.superposing`)  k
``superdiff_and`` the same with its rule AND, which ignores the weights                  k
``mixture``       every picture by one expert, in proportion to the weights           1
``adapters``      ``pipe.set_adapters(names, weights)``                               1
``linear``        merged parameters (:mod:`.merging`)                                 1
``slerp``, ``ties``  likewise                                                         1
================  ==================================================================  ===================
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from solvers import solve

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_choice, as_count, as_generator, as_items, as_kind, as_weights
from ..fusion import FusionResult
from .calling import run
from .drawing import scheduler_in_place
from .errors import DiffusersError
from .experts import AdapterExpert, as_experts, by_name, find_denoiser
from .handle import fused
from .learning import learn_weights
from .merging import MERGES, merge
from .schedules import check_scheduler
from .superposing import RULES, Superposition, check_steps
from .switching import BASE, AdapterSwitch

WAYS = ("fused", "composite", "switched", *RULES, "mixture", "adapters", *MERGES)


@final
@dataclass(frozen=True, eq=False)
class Way:
    """One way of combining experts.

    Attributes
    ----------
    name : str
    images : tuple
        One for each seed; the same noise in every way.
    runs : int
        Network runs a step.
    seconds : float
        Of drawing one image.
    loss : float or None
        Denoising objective on the pictures, less that of ``fused`` at the given weights; positive is worse. None where
        no pictures were given, and for ways that are no single field.
    stderr : float or None
        Its standard error, over pictures.
    """

    name: str
    images: tuple[Any, ...]
    runs: int
    seconds: float
    loss: float | None = None
    stderr: float | None = None


@final
@dataclass(frozen=True, eq=False)
class PipelineComparison:
    """What :func:`compare` returns: the ways in order, their weights (k,), and those that fit the pictures best."""

    ways: tuple[Way, ...]
    weights: Float64Array
    fitted: Float64Array | None = None

    def __getitem__(self, name: str) -> Way:
        return next(way for way in self.ways if way.name == name)

    def __repr__(self) -> str:
        lines = [f"{'way':<10} {'runs a step':>11} {'s an image':>10}   objective above fused"]
        for way in self.ways:
            loss = "-" if way.loss is None else f"{way.loss:+.4g} +- {way.stderr:.2g}"
            lines.append(f"{way.name:<10} {way.runs:>11} {way.seconds:>10.2f}   {loss}")
        if self.fitted is not None:
            lines.append(f"the pictures ask for weights {np.round(self.fitted, 3).tolist()}")
        return "\n".join(lines)


def compare(
    pipe: Any,
    experts: Sequence[Any] | Mapping[str, Any],
    weights: Any = None,
    prompt: Any = None,
    *,
    ways: Sequence[str] = ("fused", "switched", "mixture", "linear"),
    n: int = 4,
    steps: int | None = None,
    scheduler: Any = None,
    images: Any = None,
    prompts: Any = None,
    rng: SeedLike = None,
    learning: Mapping[str, Any] | None = None,
    **options: Any,
) -> PipelineComparison:
    """Draw with every way from the same noise, and measure their denoising objectives on given pictures.

    Parameters
    ----------
    pipe, experts, weights
        As for :func:`sfbench.diffusers.fuse`; the weights are constant.
    prompt : str or int, optional
        Of what is drawn.
    ways : sequence of str
        See :mod:`sfbench.diffusers.comparing`.
    n : int
        Images of each.
    steps : int, optional
        Of the scheduler.
    scheduler : scheduler, optional
        Draws in place of the pipeline's; SuperDiff needs one of :func:`sfbench.diffusers.sde_scheduler`.
    images, prompts
        Pictures to be explained, as for :func:`sfbench.diffusers.learn_weights`; best ones that no expert has seen.
    rng : Generator, SeedSequence, int or None
        Noise.
    learning : mapping, optional
        Further arguments of :func:`learn_weights`: ``n_nodes``, ``batch``, ...
    options
        Handed to the pipeline.

    Raises
    ------
    DiffusersError
        For unknown ways, and ``"adapters"`` with other experts.

    Notes
    -----
    A merged network is a copy of the network, freed before the next one is made; all are held at once while their
    objectives are measured.
    """
    count = as_count("n", n, error=DiffusersError)
    listed = as_items("ways", () if isinstance(ways, str) else ways, f"names out of {WAYS}", DiffusersError)
    if not listed:
        raise DiffusersError(f"ways must be a sequence of names out of {WAYS}, got {ways!r}")
    names = [as_choice("way", way, WAYS, DiffusersError) for way in listed]
    more = dict(as_kind("learning", learning or {}, Mapping, DiffusersError))  # type: ignore[type-abstract]
    if taken := more.keys() & {"rng", "prompts", "images", "bins", "allow_inexact"}:
        raise DiffusersError(
            f"learning={sorted(taken)} cannot be chosen here: pass rng=, prompts= and images= to compare"
        )
    module = find_denoiser(pipe)[1]
    models = as_experts(pipe, module, experts)
    given = by_name(models, experts)
    k = len(models)
    w = np.full(k, 1.0 / k) if weights is None else as_weights(weights, k, DiffusersError)
    loaded = [model.adapter for model in models if isinstance(model, AdapterExpert) and model.adapter != BASE]
    if "adapters" in names and len(loaded) != k:
        raise DiffusersError("way 'adapters' needs adapters only; leave it out, or take 'linear'")
    if RULES.keys() & set(names):
        check_steps(pipe.scheduler if scheduler is None else scheduler)
    if scheduler is not None:
        check_scheduler(scheduler)
    generator = as_generator(rng)
    seed, learn_seed = (int(v) for v in generator.integers(2**62, size=2))
    if steps is not None:
        options["num_inference_steps"] = as_count("steps", steps, error=DiffusersError)
    fitted, losses = _losses(pipe, given, w, names, images, prompts, learn_seed, more)
    if images is not None:
        gc.collect()  # merged networks that were measured: hooks and their registry refer to each other

    def drawn(name: str) -> Way:
        """Image j starts from noise of its own seed in all ways."""
        with scheduler_in_place(pipe, scheduler), _combined(pipe, given, loaded, w, name, count) as prepare:
            pictures, start = [], time.perf_counter()
            for j in range(count):
                prepare(j)
                pictures.append(run(pipe, prompt, 1, torch.Generator().manual_seed(seed + j), options)[0])
        seconds = (time.perf_counter() - start) / count
        return Way(name, tuple(pictures), runs_of(name, w), seconds, *losses.get(name, (None, None)))

    return PipelineComparison(tuple(map(drawn, names)), w, fitted)


def runs_of(way: str, w: Float64Array) -> int:
    """Network runs a step."""
    return len(w) if way == "composite" else int((w > 0).sum()) if way == "fused" or way in RULES else 1


@contextmanager
def _combined(
    pipe: Any, given: dict[str, Any], loaded: list[str], w: Float64Array, name: str, n: int
) -> Iterator[Callable[[int], None]]:
    """A pipeline that combines experts one way, and what is to be called with the number of an image before it."""
    if name == "adapters":
        with _adapters(pipe, loaded, w):
            yield lambda j: None
        return
    k = len(w)
    experts: Any = given if name not in MERGES else [merge(pipe, given, w, name)]  # type: ignore[arg-type]
    rule = w if experts is given and name != "composite" else None
    with fused(pipe, experts, rule, method="switched" if name == "switched" else "sequential") as handle:

        def prepare(j: int) -> None:
            if name in RULES:
                handle.hook.intercept = Superposition(handle, w, 1, RULES[name])
            elif name == "mixture":
                i = int(np.searchsorted(np.cumsum(w), (j + 0.5) / n))
                handle.weights = np.eye(k)[min(i, k - 1)]

        yield prepare
    handle.hook.experts.clear()  # or a merged network would wait for the collector, too


@contextmanager
def _adapters(pipe: Any, names: list[str], w: Float64Array) -> Iterator[None]:
    """Adapters added up with weights, as diffusers does it; scales and the active ones come back."""
    switch = AdapterSwitch(find_denoiser(pipe)[1])
    before = [dict(layer.scaling) for layer in switch.layers]
    with switch.restored():
        switch.only(names)
        try:
            for layer in switch.layers:
                for name, weight in zip(names, w.tolist(), strict=True):
                    if name in layer.scaling:
                        layer.scaling[name] *= weight
            yield
        finally:
            for layer, scaling in zip(switch.layers, before, strict=True):
                layer.scaling.update(scaling)


def _losses(
    pipe: Any,
    given: dict[str, Any],
    w: Float64Array,
    names: list[str],
    images: Any,
    prompts: Any,
    seed: int,
    learning: Mapping[str, Any],
) -> tuple[Float64Array | None, dict[str, tuple[float, float]]]:
    """Weights that fit the pictures, and objectives above that of ``fused``; merged networks are experts too."""
    if images is None:
        return None, {}
    how = {name: "linear" if name == "adapters" else name for name in names if name in ("adapters", *MERGES)}
    merged = {name: merge(pipe, given, w, by) for name, by in how.items()}  # type: ignore[arg-type]
    every = given | {f"merged: {name}": network for name, network in merged.items()}
    found = learn_weights(pipe, every, images, prompts=prompts, rng=seed, allow_inexact=True, **learning)
    assert isinstance(found, FusionResult)
    kept, k, total = found.gram.contributions, len(w), len(every)
    assert kept is not None
    reference = np.append(w, np.zeros(len(merged)))
    points = {"fused": reference, "composite": np.append(np.full(k, 1.0 / k), np.zeros(len(merged)))}
    points |= {name: np.eye(total)[k + i] for i, name in enumerate(merged)}
    losses = {}
    for name in names:
        if name in points:
            step, both = points[name] - reference, points[name] + reference
            rows = np.einsum("i,nij,j->n", step, kept.g, both) - 2 * kept.b @ step
            share = kept.counts / kept.counts.sum()
            mean = float(share @ rows)
            spread = float(np.sqrt(share @ (rows - mean) ** 2 / max(len(rows) - 1, 1)))
            losses[name] = mean, spread
    return np.asarray(solve(found.gram.leading(k).to_qp()).weights), losses
