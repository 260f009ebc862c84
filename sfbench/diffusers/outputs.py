"""The prediction inside what a network returns, and averages of predictions."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import IncompatibleExpertsError


def prediction_of(output: Any) -> Tensor:
    """The predicted tensor: the output itself, its ``sample`` or ``logits``, or the first of a tuple."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple) and output and isinstance(output[0], Tensor):
        return output[0]
    for name in ("sample", "logits"):
        found = getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    raise IncompatibleExpertsError(
        f"a network returned a {type(output).__name__}; a tensor, a tuple that begins with one, or an output with "
        "`sample` or `logits` is needed"
    )


def with_prediction(output: Any, prediction: Tensor) -> Any:
    """The same output with another prediction in it."""
    if isinstance(output, Tensor):
        return prediction
    if isinstance(output, tuple):
        return (prediction, *output[1:])
    name = "sample" if isinstance(getattr(output, "sample", None), Tensor) else "logits"
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return dataclasses.replace(output, **{name: prediction})
    changed = copy.copy(output)
    setattr(changed, name, prediction)
    return changed


def has_logits(output: Any) -> bool:
    """Whether the output is that of a language model, whose probabilities are averaged in the logarithm."""
    return not isinstance(output, Tensor | tuple) and isinstance(getattr(output, "logits", None), Tensor)


def average(predictions: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``sum_i w_i predictions_i`` in the dtype and on the device of the first, summed in at least float32."""
    return weighted_sum(predictions, weights).to(predictions[0].dtype)


def weighted_sum(predictions: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``sum_i w_i predictions_i`` on the device of the first, in at least float32."""
    first = predictions[0]
    total = first.to(torch.promote_types(first.dtype, torch.float32)) * weights[0]
    for weight, prediction in zip(weights[1:], predictions[1:], strict=True):
        if prediction.shape != first.shape:
            raise IncompatibleExpertsError(
                f"one expert predicts shape {tuple(first.shape)}, another {tuple(prediction.shape)}"
            )
        total.add_(prediction.to(total.device), alpha=weight)
    return total
