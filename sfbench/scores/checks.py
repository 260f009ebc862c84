"""One question to a score model before it is asked a million times."""

from typing import Any

import numpy as np

from .._internal.aliases import Array
from .._internal.arrays import is_tensor, to_host
from ..errors import ModelError


def check_model(model: Any, points: Array, t: float, name: str, *, divergence: bool = False) -> None:
    """Ask a model for its score, or its score and divergence, at a few points.

    Raises
    ------
    ModelError
        If an answer is not a real array of the right shape, or the model writes into its points; names the model.
    """
    x, label = (points.clone() if is_tensor(points) else points.copy()), f"{name} ({type(model).__name__})"
    answers = model.score_and_divergence(x, t) if divergence else (model.score(x, t),)
    if divergence and not (isinstance(answers, tuple) and len(answers) == 2):
        raise ModelError(f"{label} must return a pair (score, divergence), got a {type(answers).__name__}")
    if is_tensor(points):  # models that say they take tensors are judged by what they return for them
        if not all(is_tensor(answer) and answer.device == points.device for answer in answers):
            kinds = [
                f"tensor on {a.device}" if is_tensor(a) else f"{type(a).__module__}.{type(a).__name__}" for a in answers
            ]
            raise ModelError(
                f"{label} says that it computes on {points.device} and answered a tensor there with a "
                f"{' and a '.join(kinds)}; let it return a tensor there (the first of a tuple, `.sample` of an output: "
                "sfbench.nets.NetworkScore takes both from a network), or drop its attribute `device`"
            )
        answers, points, x = tuple(map(to_host, answers)), to_host(points), to_host(x)
    for answer, what, shape in zip(answers, ("score", "divergence"), (points.shape, points.shape[:1]), strict=False):
        if not isinstance(answer, np.ndarray) or isinstance(answer, np.ma.MaskedArray):
            kind = f"{type(answer).__module__}.{type(answer).__name__}"
            raise ModelError(
                f"{label} returned a {kind}; a {what} must be a numpy array (of a tensor: s.detach().cpu().numpy(); of "
                "a network: wrap it in sfbench.nets.NetworkScore)"
            )
        if answer.shape != shape:
            raise ModelError(f"{label} returned a {what} of shape {answer.shape} for points of shape {points.shape}")
        if answer.dtype.kind != "f":
            raise ModelError(f"{label} returned a {what} of dtype {answer.dtype}; it must be real and floating")
    if not np.array_equal(x, points):
        raise ModelError(f"{label} writes into the points it is given; let it work on a copy")
