"""Small masked denoisers: training by masked cross-entropy, and the likelihood bound by which they are judged.

With the number m of masked sites uniform on 1 ... L, ``E (L / m) sum_{masked} -log P(x_l | the rest)`` bounds the negative
log-likelihood from above; in bits for each site. All models of a comparison share their masks, so differences are paired.
"""

import copy
from typing import Any, final

import numpy as np
import torch
from torch import nn

_WIDTH = 256
_BATCH = 128
MASKS = 8  # of each held-out row


@final
class MaskedMLP(nn.Module):
    """Tokens (n, L), the mask being the last symbol, to logits (n, L, S)."""

    def __init__(self, alphabet: int, length: int) -> None:
        super().__init__()
        self.alphabet, self.length = alphabet, length
        self.body = nn.Sequential(
            nn.Linear(length * (alphabet + 1), _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU(),
            nn.Linear(_WIDTH, length * alphabet),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the clean tokens."""
        hot = nn.functional.one_hot(x, self.alphabet + 1).float().flatten(1)
        out: torch.Tensor = self.body(hot).view(-1, self.length, self.alphabet)
        return out


def masked(x: np.ndarray, symbol: int, rng: np.random.Generator, share: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows with m random sites masked, and the factors (n, L): ``1 / m`` at masked sites, else 0."""
    n, length = x.shape
    level = rng.random(n) if share is None else share
    m = np.minimum((level * length).astype(np.intp) + 1, length)
    hidden = np.argsort(np.argsort(rng.random((n, length)), axis=1), axis=1) < m[:, None]
    return np.where(hidden, symbol, x), hidden / m[:, None]


def train(network: MaskedMLP, x: np.ndarray, steps: int, seed: int, *, patience: int = 0, rate: float = 1e-3) -> MaskedMLP:
    """A trained copy; with patience, a quarter of the rows decides when to stop, looked at ``patience`` times."""
    trained = copy.deepcopy(network).train()
    rng = np.random.default_rng(seed)
    kept = len(x) // 4 if patience else 0
    rows, judged = x[kept:], x[:kept]
    optimiser = torch.optim.AdamW(trained.parameters(), lr=rate, weight_decay=0.01)
    best, least = trained.state_dict(), np.inf
    every = max(steps // patience, 1) if patience else steps + 1
    for step in range(steps):
        if patience and step % every == 0:
            value = float(bits([trained], judged, "alone", None, seed=1).mean())
            if value < least:
                best, least = copy.deepcopy(trained.state_dict()), value
        noisy, factors = masked(rows[rng.integers(len(rows), size=_BATCH)], network.alphabet, rng)
        clean = torch.from_numpy(_drawn(rows, rng, noisy, factors))
        loss = _loss(trained(torch.from_numpy(noisy)), clean, torch.from_numpy(factors).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if patience:
        trained.load_state_dict(best)
    return trained.eval()
