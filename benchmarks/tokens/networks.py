"""Small masked denoisers: training by masked cross-entropy, and the likelihood bound by which they are judged.

With the number m of masked sites uniform on 1 ... L, ``E (L / m) sum_{masked} -log P(x_l | the rest)`` bounds the
negative log-likelihood from above; in bits for each site. All models of a comparison share their masks, so differences
are paired.
"""

import copy
from typing import final

import numpy as np
import torch
from torch import nn

_WIDTH = 256
_BATCH = 128
MASKS = 8  # of each held-out row
_SMALLEST = 1e-6  # probability of a token: a mean of logarithms should not rest on one


@final
class MaskedMLP(nn.Module):
    """Tokens (n, L), the mask being the last symbol, to logits (n, L, S)."""

    def __init__(self, alphabet: int, length: int) -> None:
        super().__init__()
        self.alphabet, self.length = alphabet, length
        self.body = nn.Sequential(
            nn.Linear(length * (alphabet + 1), _WIDTH),
            nn.SiLU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.SiLU(),
            nn.Linear(_WIDTH, length * alphabet),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the clean tokens."""
        hot = nn.functional.one_hot(x, self.alphabet + 1).float().flatten(1)
        out: torch.Tensor = self.body(hot).view(-1, self.length, self.alphabet)
        return out


def masked(
    x: np.ndarray, symbol: int, rng: np.random.Generator, level: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with m random sites masked, ``m = 1 + floor(level L)``, and factors (n, L): 1/m where masked."""
    n, length = x.shape
    share = rng.random(n) if level is None else level
    m = np.minimum((share * length).astype(np.intp) + 1, length)
    hidden = np.argsort(np.argsort(rng.random((n, length)), axis=1), axis=1) < m[:, None]
    return np.where(hidden, symbol, x), hidden / m[:, None]


def train(network: MaskedMLP, x: np.ndarray, steps: int, seed: int, *, looks: int = 0, rate: float = 1e-3) -> MaskedMLP:
    """A trained copy; with looks, a quarter of the rows decides so many times whether it is the best so far."""
    trained = copy.deepcopy(network)
    rng = np.random.default_rng(seed)
    kept = len(x) // 4 if looks else 0
    rows, judged = x[kept:], x[:kept]
    optimiser = torch.optim.AdamW(trained.parameters(), lr=rate, weight_decay=0.01)
    best, least = copy.deepcopy(trained.state_dict()), np.inf
    for step in range(steps + 1):
        if looks and step % max(steps // looks, 1) == 0:
            value = float(bits(posteriors(trained, *(test := masks(judged, network.alphabet))[:2]), test).mean())
            if value < least:
                best, least = copy.deepcopy(trained.state_dict()), value
        clean = rows[rng.integers(len(rows), size=_BATCH)]
        noisy, factors = masked(clean, network.alphabet, rng)
        logs = trained(torch.from_numpy(noisy)).log_softmax(dim=-1)
        own = logs.gather(2, torch.from_numpy(clean)[..., None])[..., 0]
        loss = -(own * torch.from_numpy(factors).float()).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if looks:
        trained.load_state_dict(best)
    return trained.eval()


def merged(networks: list[MaskedMLP], weights: np.ndarray) -> MaskedMLP:
    """One network with averaged parameters."""
    one = copy.deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    one.load_state_dict(
        {key: sum(float(w) * state[key] for w, state in zip(weights, states, strict=True)) for key in states[0]}
    )
    return one.eval()


Masks = tuple[np.ndarray, np.ndarray, np.ndarray]


def masks(x: np.ndarray, alphabet: int) -> Masks:
    """Noised rows (MASKS n, L), factors, and the clean rows: the same for the same rows, levels stratified."""
    rng = np.random.default_rng(1)
    clean = np.repeat(x, MASKS, axis=0)
    level = (np.tile(np.arange(MASKS), len(x)) + rng.random(len(clean))) / MASKS
    return (*masked(clean, alphabet, rng, level), clean)


def posteriors(network: MaskedMLP, noisy: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Posteriors (m, S) at the masked sites of all rows, in order."""
    with torch.no_grad():
        found = [network(torch.from_numpy(part)).double().softmax(dim=-1).numpy() for part in _blocks(noisy)]
    return np.concatenate(found)[factors > 0]


def bits(probabilities: np.ndarray, test: Masks) -> np.ndarray:
    """Bound on the negative log-likelihood of each row (n,), in bits for each site, of posteriors (m, S)."""
    _, factors, clean = test
    hidden = factors > 0
    own = probabilities[np.arange(len(probabilities)), clean[hidden]]
    losses = np.zeros(factors.shape)
    losses[hidden] = -np.log2(np.maximum(own, _SMALLEST))
    return np.asarray((losses * factors).sum(axis=1).reshape(-1, MASKS).mean(axis=1))


def pooled(each: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Normalised geometric means: averaged logits."""
    logs = sum(w * np.log(np.maximum(p, _SMALLEST)) for w, p in zip(weights, each, strict=True))
    out = np.exp(logs - np.max(logs, axis=-1, keepdims=True))
    return np.asarray(out / out.sum(axis=-1, keepdims=True))


def mixed(each: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Arithmetic means of posteriors."""
    return np.asarray(sum(w * p for w, p in zip(weights, each, strict=True)))


def mixing_weights(own: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Weights that maximise ``sum f log sum_i w_i p_i`` over the simplex, by expectation maximisation.

    ``own`` (k, m) are the probabilities of the clean tokens, ``factors`` (m,) what each counts.
    """
    weights = np.full(len(own), 1.0 / len(own))
    for _ in range(500):
        shares = weights[:, None] * own
        weights = (shares / shares.sum(axis=0)) @ factors
        weights /= weights.sum()
    return weights


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + 2048] for start in range(0, len(rows), 2048)]
