"""One network, trained on some of the digits, and what the check says of it as it is wired rightly and wrongly."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench.fusion import Wiring, check_wiring
from sfbench.processes import ddpm

from ..common.study import Row, study_cells

GROUPS = ((0, 1, 2, 3), (3, 4, 5, 6), (6, 7, 8, 9))
RIGHT = 10  # right wirings of each network
ROWS = (64, 32)  # that the check may look at; a fit takes 32
_HELD_OUT = 64


@final
@dataclass(frozen=True)
class WiringSpec:
    """A kind of network, the digits that it knows, and the training steps."""

    kind: str
    group: int
    steps: int
    root_seed: int


@study_cells(version=1, factors=("kind", "steps"), replicate="group", name="wiring/network")
def run_wiring_cell(spec: WiringSpec) -> list[Row]:
    """A row for each mis-wiring, and for each right wiring on other digits."""
    images, labels = digits()
    known = np.flatnonzero(np.isin(labels, GROUPS[spec.group]))
    foreign = np.flatnonzero(~np.isin(labels, GROUPS[spec.group]))
    net = trained(spec.kind, images[known[:-_HELD_OUT]], spec.steps, spec.root_seed + spec.group)
    held_out = images[known[-_HELD_OUT:]]
    rows = [
        _row(spec, name, model, x, count, cause)
        for name, (model, x, cause) in wirings(net, held_out).items()
        for count in ROWS
    ]
    rng = np.random.default_rng([spec.root_seed, spec.group])
    for i in range(RIGHT):
        half = _HELD_OUT // 2 if i % 2 else 0  # every other batch holds as many digits that the network never saw
        own = rng.choice(known[-_HELD_OUT:], _HELD_OUT - half, replace=False)
        other = rng.choice(foreign, half, replace=False)
        batch = images[rng.permutation(np.concatenate([own, other]))]
        rows += [_row(spec, f"right, {half} foreign", score(net), batch, count, "") for count in ROWS]
    return rows


def _row(spec: WiringSpec, name: str, model: Any, x: np.ndarray, count: int, cause: str) -> Row:
    report = looked(model, x, count)
    return {
        "kind": spec.kind,
        "group": spec.group,
        "rows": count,
        "named": bool(cause and report.cause) and all(part in report.cause for part in cause.split(" and ")),
        "wiring": name,
        "expected": cause,
        "loss": report.loss,
        "best": report.best,
        "said": report.cause,
    }


def looked(model: Any, x: np.ndarray, rows: int) -> Wiring:
    """What the check finds, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return check_wiring([model], x, process=ddpm(), n_rows=rows)[0]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, 8, 8) in [-1, 1] and labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images[:, None] / 8.0 - 1.0).astype(np.float32), found.target


def network(kind: str) -> Any:
    """An untrained network that is called as ``net(x, step)`` with steps 0 to 999."""
    import torch
    from torch import nn

    if kind == "unet":
        from diffusers import UNet2DModel

        down, up = ("DownBlock2D", "DownBlock2D"), ("UpBlock2D", "UpBlock2D")
        sizes: dict[str, Any] = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8}
        ends: dict[str, Any] = {"sample_size": 8, "in_channels": 1, "out_channels": 1}
        return UNet2DModel(down_block_types=down, up_block_types=up, **sizes, **ends)

    class Perceptron(nn.Module):
        """Three layers beside sines of the step."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(64 + 32, 384), nn.SiLU(), nn.Linear(384, 384), nn.SiLU(), nn.Linear(384, 64)
            )

        def forward(self, x: Any, step: Any) -> Any:
            phase = step.to(x)[:, None] * torch.exp(-torch.arange(16, dtype=x.dtype) / 15.0 * np.log(1e4))
            seen = torch.cat([x.flatten(1), torch.sin(phase), torch.cos(phase)], dim=1)
            return x + self.layers(seen).reshape(x.shape)

    return Perceptron()


def trained(kind: str, x: np.ndarray, steps: int, seed: int) -> Any:
    """A network that predicts the noise of images at integer steps."""
    import torch

    torch.manual_seed(seed)
    net, alpha_bar = network(kind), torch.tensor(np.asarray(ddpm().alpha_bar), dtype=torch.float32)
    data = torch.from_numpy(x)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(steps):
        batch = data[torch.randint(len(data), (128,))]
        step, z = torch.randint(1000, (128,)), torch.randn(128, 1, 8, 8)
        a = alpha_bar[step][:, None, None, None]
        found = net(a.sqrt() * batch + (1 - a).sqrt() * z, step)
        loss = ((getattr(found, "sample", found) - z) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def score(
    net: Any,
    kind: str = "epsilon",
    time: Any = "timestep",
    before: Callable[[Any], Any] | None = None,
    sign: float = 1.0,
) -> Any:
    """The network as a score model, with something done to its times or its sign."""
    from torch import nn

    from sfbench.nets import NetworkScore

    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any, t: Any) -> Any:
            out = self.net(x, t if before is None else before(t))
            return sign * getattr(out, "sample", out)

    return NetworkScore(Called(), (1, 8, 8), ddpm(), kind, time=time)


def wirings(net: Any, x: np.ndarray) -> dict[str, tuple[Any, np.ndarray, str]]:
    """Model, data and expected cause of twelve mis-wirings, and of three pairs of them."""
    right = "parameterisation='epsilon'"
    found = {name: (score(net, name), x, right) for name in ("v", "x0", "score", "velocity")}
    found |= {f"time {name}": (score(net, time=name), x, "time='timestep'") for name in _WRONG_TIMES}
    found |= {
        "sign": (score(net, sign=-1.0), x, "sign turned"),
        "reversed time": (score(net, before=_reversed), x, "times reversed"),
        "0...255": (score(net), (x + 1.0) * 127.5, "0...255"),
        "[0, 1]": (score(net), (x + 1.0) / 2.0, "[0, 1] to [-1, 1]"),
    }
    return found | {
        "pair: v, time t": (score(net, "v", time="t"), x, f"time='timestep' and {right}"),
        "pair: sign, reversed": (
            score(net, before=_reversed, sign=-1.0),
            x,
            "times reversed and sign turned",
        ),
        "pair: x0, 0...255": (score(net, "x0"), (x + 1.0) * 127.5, f"0...255 and {right}"),
    }


def _reversed(t: Any) -> Any:
    return 999.0 - t


_WRONG_TIMES = ("t", "log_snr", "sigma", "c_noise")
