"""Cells of :mod:`benchmarks.tokens`: networks of one kind of data, trained once, and every method on draws."""

from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np
import torch

from sfbench.discrete import MaskedNoise, fuse
from sfbench.discrete.networks import NetworkRates

from ..common.study import Row, study_cells
from . import networks as nets
from .data import Tokens, digits, text

KINDS = {"digits": digits, "text": text}


@final
@dataclass(frozen=True)
class TokensSpec:
    """One kind of data.

    Attributes
    ----------
    kind : str
    steps : int
        Training steps of the base network; auxiliaries take as many more, fine-tuning a quarter.
    sizes : tuple of int
        Rows of the target.
    draws : int
    seed : int
    """

    kind: str
    steps: int
    sizes: tuple[int, ...]
    draws: int
    seed: int


@cache
def trained(kind: str, steps: int, seed: int) -> tuple[nets.MaskedMLP, list[nets.MaskedMLP]]:
    """Base network and auxiliaries, which start from it."""
    data = KINDS[kind]()
    torch.manual_seed(seed)
    base = nets.train(nets.MaskedMLP(data.alphabet, data.base.shape[1]), data.base, steps, seed)
    return base, [nets.train(base, x, steps, seed + 1 + i, rate=5e-4) for i, x in enumerate(data.auxiliaries)]


@study_cells(version=1, factors=("kind",), name="tokens/methods")
def run_cell(spec: TokensSpec) -> list[Row]:
    """Bits for each site of held-out rows, by method, n and draw."""
    torch.set_num_threads(1)
    data = KINDS[spec.kind]()
    base, auxiliaries = trained(spec.kind, spec.steps, spec.seed)
    test = nets.masks(data.held_out, data.alphabet)
    each = [nets.posteriors(network, *test[:2]) for network in auxiliaries]
    rows: list[Row] = []
    for n in spec.sizes:
        for draw in range(spec.draws):
            x = np.random.default_rng([spec.seed, n, draw]).permutation(data.target)[:n]
            found, about = _methods(spec, data, base, auxiliaries, each, test, x)
            fused = found["fused"]
            for method, values in found.items():
                gap = values - fused
                rows.append(
                    {
                        "kind": spec.kind,
                        "n": n,
                        "draw": draw,
                        "method": method,
                        "bits": float(values.mean()),
                        "above_fused": float(gap.mean()),
                        "above_fused_error": float(gap.std(ddof=1) / np.sqrt(len(gap))),
                        **(about if method == "fused" else {}),
                    }
                )
    return rows


def _methods(
    spec: TokensSpec,
    data: Tokens,
    base: nets.MaskedMLP,
    auxiliaries: list[nets.MaskedMLP],
    each: list[np.ndarray],
    test: nets.Masks,
    x: np.ndarray,
) -> tuple[dict[str, np.ndarray], Row]:
    """Bits of held-out rows (rows,) by method, and the fit."""
    k, length = len(auxiliaries), x.shape[1]
    noise = MaskedNoise(data.alphabet)
    fit = fuse([NetworkRates(net, noise, length) for net in auxiliaries], x, objective="cross_entropy", rng=spec.seed)
    own = nets.masks(x, data.alphabet)
    hidden = own[1] > 0
    seen = [nets.posteriors(net, *own[:2]) for net in auxiliaries]
    picked = np.stack([p[np.arange(len(p)), own[2][hidden]] for p in seen])
    mixing = nets.mixing_weights(picked, own[1][hidden])
    best = int(np.argmin([nets.bits(p, own).mean() for p in seen]))
    tuned = nets.train(auxiliaries[best], x, spec.steps // 4, spec.seed, looks=8, rate=3e-4)
    fresh = nets.MaskedMLP(data.alphabet, length)
    scratch = nets.train(fresh, x, spec.steps // 4, spec.seed, looks=8)
    alone = {
        "fine-tuned": tuned,
        "from scratch": scratch,
        "base": base,
        "merged": nets.merged(auxiliaries, fit.weights),
    }
    found = {
        "fused": nets.pooled(each, fit.weights),
        "uniform": nets.pooled(each, np.full(k, 1.0 / k)),
        "mixed": nets.mixed(each, mixing),
        "best auxiliary": each[best],
        **{name: nets.posteriors(net, *test[:2]) for name, net in alone.items()},
    }
    about: Row = {f"w_{i}": float(w) for i, w in enumerate(fit.weights)}
    interval = fit.confidence_interval(0.9)
    about |= {"widest": float((interval[:, 1] - interval[:, 0]).max()), "gap": fit.solver.gap}
    return {name: nets.bits(p, test) for name, p in found.items()}, about
