"""Laws and problems for all tests; those marked `data`, `chromium`, `package`, `pythons` run when asked for only."""

import os

# Before numpy and torch are loaded: each worker of pytest is a process, and threads that wait for one another cost more
# than all tests together (training tests: 35 CPU seconds with one thread, over 780 with two in each of two workers).
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

import sfbench
from sfbench import FusedScore, OrnsteinUhlenbeck
from synthetic import SyntheticProblem, make_problem, registry

# The same cases on every machine, however busy; fresh ones by `make fuzz`, or with SFBENCH_FUZZ_CASES set.
settings.register_profile("sfbench", deadline=None, derandomize="SFBENCH_FUZZ_CASES" not in os.environ)
settings.load_profile("sfbench")


@pytest.fixture(autouse=True)
def families_as_they_were() -> Iterator[None]:
    """A family that a test registers is gone after it."""
    kept = dict(registry._FAMILIES)
    yield
    if kept != registry._FAMILIES:
        registry._FAMILIES.clear()
        registry._FAMILIES.update(kept)


REGISTRIES = {
    "sfbench.bounds.checks": "_BOUNDS",
    "sfbench.methods.registry": "_METHODS",
    "sfbench.metrics.named": "_METRICS",
    "sfbench.nets.architectures": "_ARCHITECTURES",
    "sfbench.processes": "_PROCESSES",
    "sfbench.sampling.api": "_SAMPLERS",
    "sfbench.statistics.estimators": "_ESTIMATORS",
}


@pytest.fixture(autouse=True)
def names_as_they_were() -> Iterator[None]:
    """What a test registers is gone after it."""
    kept = {place: dict(found.own) for place, found in loaded_registries()}
    yield
    for place, found in loaded_registries():
        if found.own != kept.get(place, {}):
            found.own = kept.get(place, {})


def loaded_registries() -> list[tuple[str, Any]]:
    """Registries of the modules that are imported so far, by module."""
    return [(place, getattr(sys.modules[place], name)) for place, name in REGISTRIES.items() if place in sys.modules]


@pytest.fixture(scope="session")
def ou() -> sfbench.OrnsteinUhlenbeck:
    return sfbench.OrnsteinUhlenbeck()


@pytest.fixture(scope="session")
def shifted() -> SyntheticProblem:
    return make_problem("shifted_gaussians", k=3, d=5, weights=(0.5, 0.3, 0.2))


@pytest.fixture(scope="session")
def reference() -> SyntheticProblem:
    """The reference 1-D problem with the barycenter at equal weights as its target."""
    return make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.5, 0.5))


@pytest.fixture(scope="session")
def problem() -> SyntheticProblem:
    return make_problem("paper_mixture_1d", space="raw", scale=6.0)


@pytest.fixture(scope="session")
def fused(problem) -> FusedScore:
    return FusedScore(problem.auxiliaries, [0.5, 0.5], process=OrnsteinUhlenbeck())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Tests and libraries are a million objects for life: looking through them takes a fifth of the collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker in ("data", "chromium", "package", "pythons"):  # what a stranger's machine may lack is asked for by name
        if marker in config.option.markexpr.replace(f"not {marker}", ""):
            continue
        left_out = [item for item in items if item.get_closest_marker(marker)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not item.get_closest_marker(marker)]
