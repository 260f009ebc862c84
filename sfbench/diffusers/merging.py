r"""The baseline that practitioners know: one network whose parameters are merged, with weights w, by

===========  =====================================================================================
``linear``   ``sum_i w_i theta_i``
``slerp``    two networks, on the arc between them: ``(sin((1 - u) a) theta_1 + sin(u a) theta_2) / sin(a)``, a the
             angle of the two tensors and ``u = w_2``
``ties``     changes from a base, trimmed to the largest, in the direction of the majority of signs (peft's ``ties``)
===========  =====================================================================================

Tensors are merged one at a time, so one copy of the network is all that is made. An adapter's parameters are those of
the network with the adapter's change added.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .._internal.validation import as_choice, as_number, as_weights
from .errors import DiffusersError
from .experts import AbstractExpert, AdapterExpert, NetworkExpert, as_experts, find_denoiser
from .switching import BASE, own_state

Merge = Literal["linear", "slerp", "ties"]
MERGES = get_args(Merge)
_PARALLEL = 1e-4  # sine of an angle below which the arc is a line


def merge(
    pipe: Any, experts: Sequence[Any] | Mapping[str, Any], weights: Any, how: Merge = "linear", *, density: float = 0.5
) -> nn.Module:
    """A network with merged parameters; the pipeline stays as it is.

    Parameters
    ----------
    pipe : pipeline or network
    experts : sequence, or mapping that names them
        Adapters, pipelines or networks, as for :func:`sfbench.diffusers.fuse`; networks of one architecture.
    weights : array_like (k,)
        Simplex weights.
    how : {"linear", "slerp", "ties"}
    density : float
        Share of the changes that ``"ties"`` keeps. Its base is the pipeline's network without adapters.

    Raises
    ------
    DiffusersError
        For more than two experts on an arc, and networks of other architectures.
    """
    as_choice("merge", how, MERGES, DiffusersError)
    module = find_denoiser(pipe)[1]
    models = as_experts(pipe, module, experts)
    w = as_weights(weights, len(models), DiffusersError)
    if how == "slerp" and len(models) != 2:
        raise DiffusersError(f"slerp merges two networks, got {len(models)}; take 'linear' or 'ties'")
    own = own_state(module)
    if how == "ties" and not 0.0 < as_number("density", density, DiffusersError) <= 1.0:
        raise DiffusersError(f"density must lie in (0, 1], got {density!r}")
    made = _bare_copy(module)
    others = [own_state(m.module) if isinstance(m, NetworkExpert) else own for m in models]
    state = made.state_dict()
    for m, other in zip(models, others, strict=True):
        if other.keys() != own.keys() or any(other[key].shape != own[key].shape for key in own):
            raise DiffusersError(f"the network of expert {m.name!r} has other parameters; only equal networks merge")
    with torch.no_grad():
        for key, target in state.items():
            base = own[key]
            if not base.is_floating_point():
                continue
            tensors = [_of(m, module, key, other[key]) for m, other in zip(models, others, strict=True)]
            merged = _merged(tensors, base, w.tolist(), how, density)
            target.copy_(merged.reshape(target.shape))
    return made.eval()


def _merged(tensors: list[Tensor], base: Tensor, w: list[float], how: Merge, density: float) -> Tensor:
    wide = [tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors]
    if how == "ties":
        from peft.utils.merge_utils import ties

        changes = [tensor - base.to(tensor) for tensor in wide]
        if not any(bool(change.any()) for change in changes):
            return wide[0]
        # peft's merge sums what it keeps; with weights of sum 1 the disjoint mean is meant, as for equal changes
        total: Tensor = base.to(wide[0]) + ties(changes, torch.tensor(w, dtype=wide[0].dtype) * len(w), density)
        return total
    if how == "slerp":
        first, second = (tensor.flatten() for tensor in wide)
        angle = math.acos(float(torch.nn.functional.cosine_similarity(first, second, dim=0).clamp(-1, 1)))
        if (sine := math.sin(angle)) > _PARALLEL:
            a, b = (math.sin(u * angle) / sine for u in w)
            return (a * first + b * second).reshape(wide[0].shape)
    return torch.stack([weight * tensor for weight, tensor in zip(w, wide, strict=True)]).sum(dim=0)


def _bare_copy(module: nn.Module) -> nn.Module:
    """A copy without hooks and adapters."""
    if hasattr(module, "config") and hasattr(type(module), "from_config"):
        kind: Any = type(module)
        made: nn.Module = kind.from_config(module.config)
        first = next(module.parameters())
        return nn.Module.to(made, device=first.device, dtype=first.dtype)  # diffusers' own warns of every cast
    if hasattr(module, "peft_config"):
        raise DiffusersError(f"a {type(module).__name__} with adapters cannot be rebuilt without them to be merged")
    return copy.deepcopy(module)


def _of(expert: AbstractExpert, module: nn.Module, key: str, value: Tensor) -> Tensor:
    """One parameter of an expert."""
    if not isinstance(expert, AdapterExpert) or expert.adapter == BASE or not key.endswith(".weight"):
        return value
    layer = module.get_submodule(key.removesuffix(".weight"))
    has = hasattr(layer, "get_delta_weight") and expert.adapter in getattr(layer, "lora_A", {})
    return value + layer.get_delta_weight(expert.adapter).to(value) if has else value  # type: ignore[operator]
