r"""Student's t laws as Gaussian scale mixtures.

``X = m + sqrt(U) a Z`` with ``U ~ InvGamma(df / 2, df / 2)`` is Student's t with ``df`` degrees of freedom, location m
and scale a, in any dimension. The trapezoidal rule in log u turns the integral over U into a mixture of finitely many
Gaussians: that rule converges exponentially, and what is left out are two tails of U of a given mass.
"""

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._validation import as_count, as_finite, as_number, as_positive, as_real
from .errors import ShapeError, SyntheticError
from .gaussian_mixture import GaussianMixture


def student_mixture(
    df: float, location: ArrayLike = 0.0, scale: float = 1.0, *, n_components: int = 48, tail: float = 1e-6
) -> GaussianMixture:
    """Student's t as a Gaussian mixture whose components share their mean.

    Parameters
    ----------
    df : float
        Degrees of freedom, positive; moments of order ``df`` and above do not exist.
    location : array_like, shape () or (d,)
    scale : float
        Positive, the same in all directions.
    n_components : int
        Components of the mixture.
    tail : float
        Mass of the mixing variances left out at either end: total variation to the exact law is about twice that.

    Raises
    ------
    ShapeError, SyntheticError, NotFiniteError
        For a location that is not a vector, or parameters out of range.

    Examples
    --------
    >>> from synthetic import student_mixture
    >>> float(student_mixture(3.0).log_prob([[0.5]]).round(4)[0])  # that of scipy.stats.t(3) at 0.5
    -1.161
    """
    df, scale, n = as_positive("df", df), as_positive("scale", scale), as_count("n_components", n_components)
    refuse_huge("a mixture of n_components", n)
    centre = np.atleast_1d(as_finite("location", as_real("location", location)))
    if centre.ndim != 1 or centre.size == 0:
        raise ShapeError(f"location must be a number or have shape (d,), got {centre.shape}")
    if not 0.0 < as_number("tail", tail) < 0.1:
        raise SyntheticError(f"tail must lie in (0, 0.1), got {tail!r}")
    mixing = scipy.stats.invgamma(0.5 * df, scale=0.5 * df)
    logs = np.linspace(np.log(mixing.ppf(tail)), np.log(mixing.isf(tail)), n)
    weights = np.exp(mixing.logpdf(np.exp(logs)) + logs)
    return GaussianMixture(weights / weights.sum(), np.tile(centre, (n, 1)), scale**2 * np.exp(logs))
