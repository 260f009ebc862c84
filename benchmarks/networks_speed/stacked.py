"""Small networks of one architecture stacked into one by ``torch.func.stack_module_state`` and ``vmap``, or in turn.

A single batched product replaces k products, which saves calls and loses the layout that one product is fastest in.
Both ways compute the same numbers, which is checked before anything is timed.
"""

import copy
from collections.abc import Callable

import torch
from torch.func import functional_call, stack_module_state

from sfbench.nets import NetworkScore

from ..common.study import Row
from ..common.timing import interleaved, ratio

POINTS = (32, 256, 2048)


def measure(models: list[NetworkScore], repeats: int, calls: int = 40) -> list[Row]:
    """Rows: CPU time of the networks stacked over that of the networks in turn, by points of a call."""
    parameters, buffers = stack_module_state([model.module for model in models])
    shared = copy.deepcopy(models[0].module).to("meta")
    t = torch.full((1,), 0.3, dtype=torch.float64)

    def one(own: dict[str, torch.Tensor], kept: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional_call(shared, (own, kept), (x, t))
        return found

    together = torch.func.vmap(one, in_dims=(0, 0, None))

    def stacked(x: torch.Tensor) -> torch.Tensor:
        return together(parameters, buffers, x)

    def in_turn(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([model.module(x, t) for model in models])

    rows: list[Row] = []
    for n in POINTS:
        x, count = torch.randn(n, models[0].dim), max(1, calls * POINTS[0] // n)
        with torch.no_grad():
            torch.testing.assert_close(stacked(x), in_turn(x), rtol=1e-4, atol=1e-5)
            seconds = interleaved([_repeated(way, x, count) for way in (stacked, in_turn)], repeats)
        value, low, high = ratio(seconds, 0, 1)
        rows.append({"networks": len(models), "points": n, "ratio": value, "low": low, "high": high})
    return rows


def _repeated(way: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, calls: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(calls):
            way(x)

    return run
