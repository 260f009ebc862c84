"""How many points one call of a network takes best, from the size of its activations: no timing, the same every run."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import SfbenchError

if TYPE_CHECKING:
    from .adapter import NetworkScore

FEWEST, _MOST = 16, 8192
_CACHE, _WORK = 1 << 22, 1 << 30  # bytes of the largest activation of a batch, on a CPU and on an accelerator
_LAYERS_ALIVE = 16  # activations of that size that may live at once: skip connections, workspaces


def rows_that_fit(score: "NetworkScore") -> int:
    """A power of two between 16 and 8192, from one evaluation of one point at noise."""
    largest = largest_activation(score)
    budget = _CACHE
    if score.device.type == "cuda":
        budget = min(_WORK, torch.cuda.mem_get_info(score.device)[0] // _LAYERS_ALIVE)
    return int(min(_MOST, max(FEWEST, 1 << max(0, int(budget // largest)).bit_length() >> 1)))


def largest_activation(score: "NetworkScore") -> int:
    """Bytes of the largest tensor that a module of the network returns for one point."""
    found = [score.dim * 4]

    def note(module: Any, inputs: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(tensor, Tensor):
            found.append(tensor.numel() * tensor.element_size())

    handles = [module.register_forward_hook(note) for module in score.module.modules()]
    kind = torch.promote_types(score.dtype, torch.float32)
    low, high = score.t_range or (0.0, score.process.horizon)
    t = min(0.5 * (low + high), score.process.horizon)
    try:
        with torch.no_grad():
            x = torch.zeros(1, score.dim, dtype=kind, device=score.device)
            score.wiring.score(score.module, x, float(t), score._conditions(None, 1))
    except (SfbenchError, RuntimeError, MemoryError):
        pass  # what fails here fails at the first call, with points to name
    finally:
        for handle in handles:
            handle.remove()
    return max(found)
