"""Networks as rate models: masked language models and D3PM-style denoisers, which predict logits of the clean values.

:class:`NetworkRates` wraps any module that maps tokens (n, L) to logits (n, L, S) or more; ``call`` adapts one that
wants its time, asks for other arguments, or returns an object (``lambda net, x, t: net(input_ids=x).logits``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array
from .._internal.validation import as_count
from ..errors import ModelError, NotFiniteError
from .noise import DiscreteNoise, States


def _plain_call(network: Any, x: torch.Tensor, t: torch.Tensor) -> Any:
    return network(x)


@final
@dataclass(frozen=True, eq=False)
class NetworkRates:
    """A network as a rate model.

    Parameters
    ----------
    network : torch.nn.Module
        Set to evaluation mode by whoever trained it.
    noise : DiscreteNoise
    length : int
        Number of sites, L.
    call : callable
        ``call(network, x, t)`` with tokens x (n, L) int64 and times t (n,) float32 on the network's device; returns
        logits (n, L, >= S), of which the first S count. By default ``network(x)``.
    tokens : array_like (symbols,), optional
        The network's token of each symbol, the mask last; its logits are read at the first S of them.
    rows : int
        Largest batch.
    """

    network: Any
    noise: DiscreteNoise
    length: int
    call: Callable[[Any, torch.Tensor, torch.Tensor], Any] = _plain_call
    tokens: Any = None
    rows: int = 1024

    def __post_init__(self) -> None:
        as_count("length", self.length, error=ModelError)
        as_count("rows", self.rows, error=ModelError)
        if self.tokens is not None and np.shape(self.tokens) != (self.noise.symbols,):
            raise ModelError(f"tokens must name {self.noise.symbols} symbols, got shape {np.shape(self.tokens)}")

    def posteriors(self, x: States, t: ArrayLike) -> Float64Array:
        """Softmax of the logits, (n, L, S)."""
        values = self.noise.alphabet
        times = np.broadcast_to(np.asarray(t, dtype=np.float32), (len(x),))
        names = None if self.tokens is None else np.asarray(self.tokens, dtype=np.int64)
        inputs = x if names is None else names[x]
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        out = np.empty((*x.shape, values))
        with torch.no_grad():
            for start in range(0, len(x), self.rows):
                part = slice(start, start + self.rows)
                batch = torch.from_numpy(np.ascontiguousarray(inputs[part])).to(device)
                logits = self.call(self.network, batch, torch.from_numpy(times[part].copy()).to(device))
                if logits.ndim != 3 or logits.shape[:2] != batch.shape or logits.shape[2] < values:
                    wanted = (len(batch), self.length, values)
                    raise ModelError(f"the network must return logits {wanted}, got {tuple(logits.shape)}")
                chosen = logits[..., :values] if names is None else logits[..., names[:values]]
                out[part] = chosen.double().softmax(dim=-1).cpu().numpy()
        if not np.all(np.isfinite(out)):
            raise NotFiniteError(f"the network's logits are not finite at t = {float(times[0]):.4g}")
        return out
