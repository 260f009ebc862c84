"""The fused law that several samplers are held against."""

import pytest

from sfbench import FusedScore
from sfbench.laws import GridDensity, fokker_planck_1d


@pytest.fixture(scope="session")
def exact(fused: FusedScore) -> GridDensity:
    """Of the reference problem at equal weights."""
    return fokker_planck_1d(fused, n_cells=1000, steps=150)
