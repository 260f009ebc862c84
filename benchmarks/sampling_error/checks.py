"""What a row of the sampling study must satisfy: cells record it of their own row, claims ask it of other rows too."""

import math

from ..common.study import Row

TRUSTED_ERROR = 0.05
WINDOW_ERROR = 0.03
FALSE_ALARMS = 0.01
COVERED = 0.97
COST_LIMIT = 1.3
CHECK_LIMIT = 0.1


def follows_fused_law(row: Row) -> bool:
    """Samples agree with the Fokker-Planck law to the histogram's floor."""
    return bool(row["tv_fused"] <= row["floor_fused"] + 0.007)


def reaches_barycenter(row: Row) -> bool:
    """Samples agree with the barycenter, and so does their share of each mode."""
    return bool(row["tv_pool"] <= 0.02 and abs(row["mass"] - row["mass_pool"]) <= 0.01)


def covers_log_z(row: Row, truth: float) -> bool:
    """log Z is right to three of the errors stated beside it, which cover sampling, steps, prior and noise left."""
    return bool(abs(row["log_z"] - truth) <= 3.0 * row["log_z_error"])


def honest_window(row: Row, *, trusted: bool | None = None) -> bool:
    """A result over a window is close to the barycenter, or not trusted."""
    believed = row["trustworthy"] if trusted is None else trusted
    return bool(row["tv"] < WINDOW_ERROR or not believed)


def returns_vertex(row: Row) -> bool:
    """Samples at a vertex agree with its auxiliary, to discretisation error."""
    return bool(row["tv"] <= row["floor"] + 0.01)


def below_bound(row: Row, factor: float = 1.0) -> bool:
    """The exact divergence is below a multiple of the Girsanov bound, to the divergence's own error."""
    return bool(row["kl"] <= factor * row["bound"] + row["kl_error"])


def is_honest(row: Row, *, trusted: bool) -> bool:
    """No result that is trusted has a coordinate wrong by more than ``TRUSTED_ERROR``."""
    return not (trusted and row["tv_worst"] > TRUSTED_ERROR)


def keeps_coordinates(row: Row) -> bool:
    """Coordinates agree with the barycenter on average."""
    return bool(row["tv_mean"] <= 0.02)


def keeps_independence(row: Row) -> bool:
    """Coordinates that are independent under the truth are so among the samples, to 5 standard errors."""
    return bool(row["correlation"] <= 5.0 / math.sqrt(row["n"]))
