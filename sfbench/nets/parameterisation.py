r"""What a network predicts, turned into a score: the only place where this is done.

With ``x = alpha x0 + sigma z`` and ``r = sqrt(alpha^2 + sigma^2)``, a network at ``(x, t)`` may estimate the mean,
given x, of

===========  =============================================  ==========================================
``epsilon``  the noise ``z``                                ``score = -z / sigma``
``x0``       the data ``x0``                                ``score = (alpha x0 - x) / sigma^2``
``v``        ``v = (alpha z - sigma x0) / r``               ``score = -(alpha v + sigma x / r) / (r sigma)``
``score``    ``grad log p_t(x)`` itself                     ``score``
===========  =============================================  ==========================================

``r = 1`` for variance-preserving processes, where ``v`` is the usual one; in general ``x / r`` and ``v`` are the data
and noise pair turned by the angle ``atan(sigma / alpha)``. All four are affine in the score with coefficients that
depend on (x, t) alone, so averages with weights of sum one commute with the conversion. The arithmetic is the same for
numpy arrays and torch tensors.
"""

from typing import Any, Literal, get_args

from ..errors import ModelError

Parameterisation = Literal["epsilon", "v", "x0", "score"]


def check_parameterisation(name: str) -> Parameterisation:
    """The name, if it is one of the four."""
    if name not in get_args(Parameterisation):
        known = ", ".join(map(repr, get_args(Parameterisation)))
        raise ModelError(f"unknown parameterisation {name!r}; a network predicts one of {known}")
    return name  # type: ignore[return-value]


def to_score(output: Any, x: Any, alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """Score (n, d) from a network's output (n, d) at points x (n, d); alpha and sigma broadcast against x."""
    if parameterisation == "score":
        return output
    return to_noise(output, x, alpha, sigma, parameterisation) / (-sigma)


def to_noise(output: Any, x: Any, alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """Predicted noise ``-sigma score`` (n, d): the form in which losses are of order one at every time."""
    if parameterisation == "epsilon":
        return output
    if parameterisation == "score":
        return output * (-sigma)
    if parameterisation == "x0":
        return (x - alpha * output) / sigma
    check_parameterisation(parameterisation)
    r2 = alpha**2 + sigma**2
    return (alpha * output) / r2**0.5 + sigma * x / r2


def from_score(score: Any, x: Any, alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """The network output that stands for a score: the inverse of :func:`to_score`."""
    check_parameterisation(parameterisation)
    if parameterisation == "score":
        return score
    noise = score * (-sigma)
    if parameterisation == "epsilon":
        return noise
    data = (x - sigma * noise) / alpha
    if parameterisation == "x0":
        return data
    return (alpha * noise - sigma * data) / (alpha**2 + sigma**2) ** 0.5
