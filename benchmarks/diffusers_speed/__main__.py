r"""Cost and memory of fusing adapters of one U-Net: ``python -m benchmarks.diffusers_speed [--device cuda]``.

1. *memory* of k adapters on one U-Net against k deep copies: bytes of weights, and the peak of a process that makes one
   evaluation, over what it held before (each in a process of its own);
2. *switching*: ``set_adapter`` of diffusers, ``set_adapter`` of the layers found once, and what the hook does;
3. *overhead*: one fused evaluation against k bare ones of the same adapters, switched outside the clock;
4. *methods*: all adapters in one batch, and one expert a step, against one after the other.

Contenders run in turn, in CPU time of one thread (on a GPU: time on the wall, and peaks of its allocator); the ratio of
minima is reported with the spread of paired ratios. The U-Net is of Stable Diffusion's kind, 115 million weights, with
adapters of rank 16 on the attention layers, at the latents of a 256-pixel image; weights are random, which times do not
see.
"""

import subprocess
import sys
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfbench.diffusers as fusion
from sfbench.files import prepare_folder, provenance

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.networks import device, use_device
from ..common.study import OneLineParser, Row, one_line_errors, write_rows
from ..common.timing import clock_of, interleaved, ratio

WIDTHS = {"full": (192, 384, 768), "quick": (32, 64, 64)}
RANK = 16
COUNTS = (2, 4, 8)
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def make_unet(size: str, seed: int) -> Any:
    """A U-Net with cross attention."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    made = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=WIDTHS[size],
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    return made.eval().requires_grad_(False).to(device())


def add_adapters(unet: Any, k: int) -> list[str]:
    """Adapters of random weights; returns their names."""
    from peft import LoraConfig

    names = [f"adapter_{i}" for i in range(k)]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS, init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft wonders at a second adapter
        for name in names:
            unet.add_adapter(config, name)
    return names


def make_inputs(seed: int) -> dict[str, torch.Tensor]:
    """Noisy latents, a timestep and a prompt's embedding."""
    generator = torch.Generator().manual_seed(seed)
    made = {
        "sample": torch.randn(1, 4, 32, 32, generator=generator),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(1, 77, 768, generator=generator),
    }
    return {name: value.to(device()) for name, value in made.items()}


def evaluate(unet: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """One evaluation."""
    with torch.no_grad():
        output: torch.Tensor = unet(**inputs).sample
    return output


# ---------------------------------------------------------------------- memory
def weight_bytes(*modules: Any) -> int:
    """Bytes of all weights, each storage once."""
    tensors = {t.data_ptr(): t for module in modules for t in [*module.parameters(), *module.buffers()]}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def peak_of(kind: str, k: int, size: str, seed: int) -> int:
    """Peak bytes of this process while it makes one evaluation, over what it held before it had a model."""
    evaluate(make_unet("quick", seed), make_inputs(seed))  # libraries load on first use
    before = _memory("VmRSS")
    unet, inputs = make_unet(size, seed), make_inputs(seed)
    networks = [unet, *(deepcopy(unet) for _ in range(k - 1))] if kind == "copies" else [unet]
    names = add_adapters(unet, k) if kind == "adapters" else []
    if device() != "cpu":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    if names:
        with fusion.fused(unet, names):
            evaluate(unet, inputs)
    else:
        torch.stack([evaluate(network, inputs) for network in networks]).mean(dim=0)
    return _memory("VmHWM") - before


def _memory(name: str) -> int:
    """Bytes in use (VmRSS) or at their peak (VmHWM): of the GPU's allocator, or of this process (Linux only)."""
    if device() != "cpu":
        return int(torch.cuda.max_memory_allocated() if name == "VmHWM" else torch.cuda.memory_allocated())
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def memory_rows(size: str, seed: int) -> list[Row]:
    """Bytes of weights, and peaks of processes, in units of one U-Net."""
    rows: list[Row] = []
    one = make_unet(size, seed)
    base = weight_bytes(one)
    for k in COUNTS:
        names = add_adapters(unet := make_unet(size, seed), k)
        total = weight_bytes(unet)
        rows.append({"what": "weights of k adapters / one U-Net", "k": k, "value": total / base})
        rows.append({"what": "weights of k copies / one U-Net", "k": k, "value": float(k)})
        assert len(names) == k
    if size == "quick":
        return rows  # a network of 9 MB drowns in what the libraries allocate
    peaks = {kind: _peak_elsewhere(kind, 4, size, seed) for kind in ("one", "adapters", "copies")}
    own = weight_bytes(unet := make_unet(size, seed))
    add_adapters(unet, 4)
    adapters = weight_bytes(unet) - own
    rest = (peaks["adapters"] - adapters) / peaks["one"]
    rows.append({"what": "peak of fusing 4 adapters, less their weights / peak of one U-Net", "k": 4, "value": rest})
    rows.append({"what": "peak of 4 copies / peak of one U-Net", "k": 4, "value": peaks["copies"] / peaks["one"]})
    return rows


def _peak_elsewhere(kind: str, k: int, size: str, seed: int) -> int:
    command = [sys.executable, "-m", "benchmarks.diffusers_speed", "--peak", kind, "--k", str(k), "--seed", str(seed)]
    command += ["--device", device(), *(["--quick"] if size == "quick" else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


# ---------------------------------------------------------------------- times
def switching_rows(unet: Any, names: list[str], repeats: int) -> list[Row]:
    """Milliseconds of one switch, three ways."""
    switch = fusion.switching.AdapterSwitch(unet)
    layers = switch.layers
    n = 20

    def diffusers() -> None:
        for i in range(n):
            unet.set_adapter(names[i % len(names)])

    def found_once() -> None:
        for i in range(n):
            for layer in layers:
                layer.set_adapter([names[i % len(names)]])

    def hook() -> None:
        with torch.no_grad(), switch.restored():
            for i in range(n):
                switch.only([names[i % len(names)]])

    seconds = interleaved([diffusers, found_once, hook], repeats)  # work of the CPU, wherever weights are
    modules = sum(1 for _ in unet.modules())
    shape = {"layers": len(layers), "modules": modules}
    labels = ("set_adapter of diffusers", "set_adapter of layers found once", "the hook")
    rows = [
        {"what": f"ms a switch: {label}", "value": 1000 * float(seconds[:, i].min()) / n, **shape}
        for i, label in enumerate(labels)
    ]
    value, low, high = ratio(seconds, 0, 2)
    return [*rows, {"what": "set_adapter of diffusers / the hook", "value": value, "low": low, "high": high, **shape}]


def time_rows(unet: Any, names: list[str], inputs: dict[str, torch.Tensor], repeats: int) -> list[Row]:
    """Fused evaluations against bare ones of the same network."""
    rows: list[Row] = []
    for k in COUNTS:
        some = names[:k]
        bare = interleaved_with_setup(unet, some, inputs, repeats)
        value, low, high = ratio(bare, 0, 1)
        rows.append({"what": "fused evaluation / k bare ones", "k": k, "value": value, "low": low, "high": high})
        handles: list[tuple[str, Callable[[], object]]] = []
        for method in ("sequential", "batched", "switched"):

            def run(method: Any = method, some: list[str] = some) -> None:
                with fusion.fused(unet, some, method=method):
                    evaluate(unet, inputs)

            handles.append((method, run))
        seconds = interleaved([run for _, run in handles], max(3, repeats // 3), clock_of(device()))
        for i, (method, _) in enumerate(handles[1:], start=1):
            value, low, high = ratio(seconds, i, 0)
            rows.append({"what": f"{method} / sequential", "k": k, "value": value, "low": low, "high": high})
    return rows


def interleaved_with_setup(unet: Any, names: list[str], inputs: dict[str, torch.Tensor], repeats: int) -> np.ndarray:
    """Seconds (repeats, 2) of a fused evaluation and of k bare ones, switched outside the clock."""
    clock, seconds = clock_of(device()), np.empty((repeats, 2))
    for r in range(-1, repeats):
        with fusion.fused(unet, names):
            start = clock()
            evaluate(unet, inputs)
            fused = clock() - start
        bare = 0.0
        for name in names:
            unet.set_adapter(name)
            start = clock()
            evaluate(unet, inputs)
            bare += clock() - start
        if r >= 0:
            seconds[r] = fused, bare
    return seconds


def card() -> str:
    """What the times are of."""
    return "CPU, one thread" if device() == "cpu" else torch.cuda.get_device_name()


def claims_of(rows: list[Row]) -> list[Claim]:
    """What the table must show."""

    def value(what: str) -> dict[int, Row]:
        return {int(row.get("k", 0)): row for row in rows if row["what"] == what}

    overhead = value("fused evaluation / k bare ones")
    worst = max(overhead.values(), key=lambda row: float(row["value"]))
    peak = value("peak of fusing 4 adapters, less their weights / peak of one U-Net")
    copies = value("peak of 4 copies / peak of one U-Net")
    switch = value("set_adapter of diffusers / the hook")[0]
    switched = value("switched / sequential")[max(COUNTS)]

    def by_k(what: str) -> str:
        parts = [f"k = {k}: {row['value']:.3f}" for k, row in value(what).items()]
        ends = [f" [{row['low']:.3f}, {row['high']:.3f}]" if "low" in row else "" for row in value(what).values()]
        return "; ".join(part + end for part, end in zip(parts, ends, strict=True))

    weights = value("weights of k adapters / one U-Net")[max(COUNTS)]
    return [
        within(
            "fused evaluation / k bare ones, largest over k",
            float(worst["value"]),
            high=1.03,
            interval=(float(worst["low"]), float(worst["high"])),
        ),
        *(
            Claim(f"{what}, by k (10-90 % of the pairs)", by_k(what))
            for what in ("fused evaluation / k bare ones", "batched / sequential", "switched / sequential")
        ),
        within(
            f"weights of {max(COUNTS)} adapters and one U-Net / one U-Net",
            float(weights["value"]),
            high=1.1 if peak else None,  # rank 16 is much of a small network
            control=(float(max(COUNTS)), "as many deep copies"),
            note=by_k("weights of k adapters / one U-Net"),
        ),
        *(
            within(
                "peak memory of 4 fused adapters, less their own weights, in units of one U-Net",
                float(row["value"]),
                high=1.1,
                control=(float(copies[k]["value"]), "4 deep copies"),
            )
            for k, row in peak.items()
        ),
        within("set_adapter of diffusers / a switch of the hook", float(switch["value"]), low=2.0),
        within(f"one expert a step / all {max(COUNTS)}", float(switched["value"]), high=1.5 / max(COUNTS)),
    ]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    parser = OneLineParser(prog="python -m benchmarks.diffusers_speed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small network and fewer repeats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="results/diffusers_speed", help="folder for the tables")
    parser.add_argument("--peak", choices=("one", "adapters", "copies"), help="print the peak of this process and stop")
    parser.add_argument("--k", type=int, default=4, help="experts, for --peak")
    parser.add_argument("--device", default="cpu", help="torch device of the network (cpu, cuda)")
    args = parser.parse_args(argv)
    use_device(args.device)
    size = "quick" if args.quick else "full"
    torch.set_num_threads(1)
    if args.peak:
        print(peak_of(args.peak, args.k, size, args.seed))
        return 0
    repeats = 3 if args.quick else 7
    folder = prepare_folder(args.out)
    unet, inputs = make_unet(size, args.seed), make_inputs(args.seed)
    millions = weight_bytes(unet) / 4e6
    names = add_adapters(unet, max(COUNTS))
    rows = memory_rows(size, args.seed) + switching_rows(unet, names, repeats) + time_rows(unet, names, inputs, repeats)
    rows = [{"weights_in_millions": millions, **row} for row in rows]
    write_rows(folder, "diffusers_speed", rows)
    claims = claims_of(rows)
    write_claims(folder, claims, millions=millions, device=card(), **provenance(args.seed))
    _print(rows, f"A U-Net of {millions:.0f} million weights, {card()}")
    print_claims(claims)
    return exit_code(claims)


def _print(rows: list[Row], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "k", "value", "10-90 %", title=title)
    for row in rows:
        spread = f"{row['low']:.3g} - {row['high']:.3g}" if "low" in row else ""
        table.add_row(row["what"], str(row.get("k", "")), f"{row['value']:.3g}", spread)
    Console(width=120).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
