"""Exact laws: what samplers sample, computed without sampling."""

from .affine import affine_fused_law
from .fokker_planck_line import fokker_planck_1d
from .fokker_planck_plane import PlanarDensity, fokker_planck_2d, fused_law
from .grid_density import GridDensity
from .likelihood import DataScaling, Likelihood, log_likelihood
from .ode_density import LogDensities, ode_log_density

__all__ = [
    "DataScaling",
    "GridDensity",
    "Likelihood",
    "LogDensities",
    "PlanarDensity",
    "affine_fused_law",
    "fokker_planck_1d",
    "fokker_planck_2d",
    "fused_law",
    "log_likelihood",
    "ode_log_density",
]
