"""The experiments of ``python -m benchmarks.sampling_error``: the cell function and the grid of each, at two scales."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench.experiments import CellFunction

from . import cells as line
from . import dimension_cells as dimension
from . import integrator_cells as integrators
from . import trust_cells as trust

WEIGHTS = ((0.5, 0.5), (0.2, 0.8), (0.8, 0.2))
_DEAR = ("more levels (4x)", "3 Langevin moves", "more particles (4x)")


@final
@dataclass(frozen=True)
class Scale:
    """How much work to do."""

    particles: int
    seeds: int
    superdiff_steps: int
    vertex_particles: int
    order_particles: int
    order_integrators: tuple[str, ...]
    many: int
    budgets: tuple[int, ...]
    budget_integrators: tuple[str, ...]
    copies: tuple[int, ...]
    dear_copies: int
    dims: tuple[int, ...]
    weights_on_edge: int
    n_cells: int
    repeats: int
    random_problems: int
    timed: tuple[tuple[int, int], ...] = ((1, 20_000), (64, 4_000))
    windows: tuple[str, ...] = tuple(trust.WINDOWS)


FULL = Scale(
    particles=20_000,
    seeds=5,
    superdiff_steps=512,
    vertex_particles=20_000,
    order_particles=5_000,
    order_integrators=tuple(integrators.INTEGRATORS),
    many=200_000,
    budgets=(16, 24, 32, 48, 64, 96, 128, 256, 512, 1024),
    budget_integrators=tuple(integrators.INTEGRATORS),
    copies=(1, 2, 4, 8, 16, 32, 64),
    dear_copies=16,  # unreliable long before, and the dearest cells
    dims=(1, 4, 16, 64, 256, 1024),
    weights_on_edge=11,
    n_cells=3000,
    repeats=10,
    random_problems=105,
)
QUICK = Scale(
    particles=20_000,
    seeds=2,
    superdiff_steps=200,
    vertex_particles=10_000,
    order_particles=2_500,
    order_integrators=tuple(integrators.EXPECTED_ORDERS),
    many=100_000,
    budgets=(24, 32, 320),
    budget_integrators=("EM, uniform", "EM", "exponential 2M", "DPM-Solver++(2M)"),
    copies=(1, 8),
    dear_copies=0,
    dims=(1, 16),
    weights_on_edge=4,
    n_cells=1500,
    repeats=4,
    random_problems=14,
)


# ---------------------------------------------------------------------- grids
def _laws(scale: Scale, seed: int) -> list[line.LawSpec]:
    steps = {"predictor-corrector": 128} | dict.fromkeys(
        ("SuperDiff-style OR", "SuperDiff-style AND"), scale.superdiff_steps
    )
    specs = []
    for w in WEIGHTS:
        for s in range(seed, seed + scale.seeds):
            specs += [
                line.LawSpec(w, name, scale.particles, steps.get(name), scale.n_cells, s) for name in line.SAMPLED
            ]
        specs += [line.LawSpec(w, name, 0, None, scale.n_cells, -1) for name in line.EXACT]
    return specs


def _densities(scale: Scale, seed: int) -> list[line.DensitySpec]:
    return [line.DensitySpec((0.5, 0.5), scale.particles, scale.n_cells, seed)]


def _vertices(scale: Scale, seed: int) -> list[line.VertexSpec]:
    return [
        line.VertexSpec(vertex, name, n_steps, scale.vertex_particles, seed)
        for vertex in range(2)
        for name, (_, n_steps) in line.VERTEX_SAMPLERS.items()
    ]


def _certificate(scale: Scale, seed: int) -> list[line.CertificateSpec]:
    weights = np.linspace(0.0, 1.0, scale.weights_on_edge).tolist()
    return [line.CertificateSpec(w_1, 1e-3, 6.0, 400, 4000) for w_1 in weights]


def _orders(scale: Scale, seed: int) -> list[integrators.OrderSpec]:
    return [integrators.OrderSpec(name, 512, scale.order_particles, seed) for name in scale.order_integrators]


def _evaluations(scale: Scale, seed: int) -> list[integrators.EvaluationSpec]:
    return [integrators.EvaluationSpec(name, scale.budgets, scale.many, seed) for name in scale.budget_integrators]


def _embedded(scale: Scale, seed: int) -> list[dimension.EmbeddedSpec]:
    return [dimension.EmbeddedSpec(d, int(np.clip(4_000_000 // d, 2_000, 8_000)), 96, seed) for d in scale.dims]


def _products(scale: Scale, seed: int) -> list[dimension.ProductSpec]:
    size = {"more levels (4x)": (8000, 384), "more particles (4x)": (32_000, 96)}
    specs = []
    for r in scale.copies:
        names = [name for name in dimension.SAMPLERS if name not in _DEAR or r <= scale.dear_copies]
        names += [dimension.TEMPERING] if r <= 16 else []
        for name in names:
            n, n_steps = size.get(name, (8000, 96))
            specs += [dimension.ProductSpec(r, name, n, n_steps, seed + s) for s in range(min(scale.seeds, 2))]
    return specs


def _windows(scale: Scale, seed: int) -> list[trust.WindowSpec]:
    n = min(scale.particles, 10_000)
    return [trust.WindowSpec(case, chosen, n, seed) for case in scale.windows for chosen in (True, False)]


def _trust(scale: Scale, seed: int) -> list[trust.TrustSpec]:
    runs = [*((name, None) for name in line.CHECKED), ("fused", 6), ("ode", 5), ("corrected", 8), ("corrected", 64)]
    n = min(scale.particles, 4_000)
    return [trust.TrustSpec(i, name, n, k, seed) for i in range(scale.random_problems) for name, k in runs]


def _cost(scale: Scale, seed: int) -> list[line.CostSpec]:
    return [line.CostSpec(d, n, scale.repeats, seed) for d, n in scale.timed]


@final
@dataclass(frozen=True, eq=False)
class Experiment:
    """A cell function and its grid for a scale and a seed."""

    run_cell: CellFunction
    grid: Callable[[Scale, int], Sequence[Any]]


EXPERIMENTS = {
    "cost": Experiment(line.run_cost_cell, _cost),  # first, while no worker process is there yet
    "laws": Experiment(line.run_law_cell, _laws),
    "products": Experiment(dimension.run_product_cell, _products),
    "evaluations": Experiment(integrators.run_evaluation_cell, _evaluations),
    "orders": Experiment(integrators.run_order_cell, _orders),
    "embedded": Experiment(dimension.run_embedded_cell, _embedded),
    "vertices": Experiment(line.run_vertex_cell, _vertices),
    "certificate": Experiment(line.run_certificate_cell, _certificate),
    "densities": Experiment(line.run_density_cell, _densities),
    "windows": Experiment(trust.run_window_cell, _windows),
    "trust": Experiment(trust.run_trust_cell, _trust),
}
