r"""Two homogeneous groups of faces, fused and merged: ``python -m benchmarks.portraits [--quick]``.

One auxiliary knows women with white skin, the other men with black skin; both were fine-tuned from one base that has
seen neither, and likewise two adapters (LoRA). Weights go from one to the other in seven settings. Asked is: does the
fused law reach what lies between the groups? Is merging bimodal? What do one expert a step and the corrected sampler
give? How does diversity move? Pictures are judged as :mod:`benchmarks.portraits.judge` says. The arithmetic mixture,
half of each auxiliary's pictures, is the control: it has nothing in between. Further trainings, of all networks from
other weights, repeat the main settings on other noise. Networks (their sha256 in ``claims.json``) and pictures are kept
in the output folder; a run that was stopped goes on with those that are there. Needs
``sfbench data fetch faces efficientnet_lite0``.
"""

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfbench.diffusers as fusion
from sfbench.diffusers.errors import DiffusersError
from sfbench.files import prepare_folder, provenance
from sfbench.sampling import TrustWarning

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.fits import quietly
from ..common.study import OneLineParser, Row, one_line_errors, write_rows
from .data import BASE, CROSSED, GROUPS, Coordinates, load_faces
from .figure import draw_faces
from .judge import Judge, features_of
from .networks import make_pipeline, train_all
from .pipelines import CLIP, PIPELINE, PROMPT, open_clip, run_pipeline
from .probe import train_probe

SETTINGS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
ADAPTERS = tuple(name.replace("/", "_") for name in GROUPS)
SIZES = {
    # widths, steps of the base, the copies and the adapters, epochs of the probe, pictures of a setting and how many of
    # them are encoded, sampling steps
    "full": ((64, 96), (1000, 500, 300), 14, 512, 128, 16),
    "quick": ((16, 32), (20, 10, 10), 2, 24, 24, 4),
}
Setting = tuple[str, str, float, str]


def settings() -> list[Setting]:
    """Name, kind of networks, weight of the second group, and way of drawing."""
    made = [(f"fused {w:g}", "networks", w, "fused") for w in SETTINGS]
    made += [(f"adapters fused {w:g}", "adapters", w, "fused") for w in SETTINGS]
    made += [("one a step 0.5", "networks", 0.5, "switched"), ("corrected 0.5", "networks", 0.5, "corrected")]
    made += [("merged 0.5", "networks", 0.5, "linear"), ("adapters merged 0.5", "adapters", 0.5, "linear")]
    return made


def repeated() -> list[Setting]:
    """The settings of further trainings."""
    return [made for made in settings() if made[2] in (0.0, 0.5, 1.0) and made[3] != "corrected"]


def draw(
    adapted: Any,
    copies: list[Any],
    coordinates: Coordinates,
    kind: str,
    w: float,
    way: str,
    n: int,
    steps: int,
    seed: int,
) -> Any:
    """Pictures (n, 3, 32, 32) in [0, 1], equally weighted, and the sample that they come from."""
    start = time.process_time()
    network = copies[0] if kind == "networks" else adapted
    pipe = make_pipeline(network)
    experts = [network, copies[1]] if kind == "networks" else list(ADAPTERS)
    weights = np.array([1.0 - w, w])
    if way == "linear":
        experts, weights = [fusion.merge(pipe, experts, weights)], np.ones(1)
    scheduler = fusion.sde_scheduler(pipe, lambda_min_clipped=-4.0)  # where the signal is 0.02 of the noise
    with fusion.fused(pipe, experts, weights), warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # the verdict is reported
        sampler: Any = "fused" if way == "linear" else way
        result = fusion.sample(
            pipe, None, n, sampler, steps=steps, scheduler=scheduler, rng=seed, output_type="np", verbose=False
        )
    x = coordinates.unfold(result.latents)
    if way == "corrected":
        order = np.random.default_rng(seed).choice(n, n, p=result.weights / result.weights.sum())
        x = x[order]
    said = {"law": result.law if way != "linear" else "merged parameters", "ess": float(result.ess)}
    return x, said | {
        "reach": result.pilot.verdict(n) if result.pilot else "",
        "cpu_seconds": time.process_time() - start,
    }


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Train, draw, judge and report."""
    parser = OneLineParser(prog="python -m benchmarks.portraits", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="tiny networks, few pictures: the path, not the answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, default=2, help="of all networks (default: %(default)s)")
    parser.add_argument("--out", default="results/portraits", help="folder for networks, tables and pictures")
    group = parser.add_argument_group("with a pipeline of one's own, in place of drawn faces")
    group.add_argument("--adapter", action="append", help="file or repository of one of two adapters; give it twice")
    group.add_argument("--pipeline", default=PIPELINE, help="folder or name of the pipeline (default: %(default)s)")
    group.add_argument("--clip", default=CLIP, help="folder or name of the judge (default: %(default)s)")
    group.add_argument("--prompt", default=PROMPT, help="default: %(default)s")
    group.add_argument("--n", type=int, default=64, help="pictures of each setting (default: %(default)s)")
    group.add_argument("--steps", type=int, default=30, help="steps of the scheduler (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.trainings < 1:
        parser.error(f"--trainings must be at least 1, got {args.trainings}")
    if args.adapter:
        return with_pipeline(args)
    widths, training, epochs, n, encoded, steps = SIZES["quick" if args.quick else "full"]
    torch.set_num_threads(1)
    folder = prepare_folder(Path(args.out))
    train, held_out = load_faces()
    networks = prepare_folder(folder / "networks")
    groups = {name: train.of(name) for name in GROUPS}
    judge = Judge.learn(train_probe(train, epochs, networks / "probe.pt", args.seed), train, held_out, encoded)
    coordinates, rows, trained = Coordinates.of(train.of(*BASE)), [], []
    for number in range(args.trainings):
        seed, own = args.seed + 10 * number, prepare_folder(networks / str(number) if number else networks)
        adapted, copies, made = train_all(train.of(*BASE), groups, own, widths, training, seed)
        trained += [{"training": number} | row for row in made]
        kept = prepare_folder(folder / "pictures" / (str(number) if number else ""))
        chosen = repeated() if number else settings()
        found, pictures = study(chosen, adapted, copies, coordinates, judge, n, encoded, steps, seed, kept)
        rows += [{"training": number} | row for row in found]
        if number == 0:
            fusion.tile(pictures, least=32).save(folder / "settings.png")
            draw_faces(kept, folder / "faces.png")
            fit = learned(copies, coordinates, held_out.of(*CROSSED), 16 if args.quick else 64, args.seed)
    rows += [{"training": 0} | row for row in real_rows(judge, held_out, n, encoded, args.seed)]
    write_rows(folder, "portraits", rows)
    claims = claims_of(rows, judge, fit, args.quick)
    seconds = sum(row["cpu_seconds"] for row in [*rows, *trained])  # those of a run that was stopped too
    about = {"cpu_seconds": seconds, "training": trained} | provenance(args.seed)
    write_claims(folder, claims, **about)
    print_rows(rows)
    print_claims(claims)
    return exit_code(claims)


def with_pipeline(args: Any) -> int:
    """The settings with a pipeline and two adapters."""
    if len(args.adapter) != 2:
        raise DiffusersError(f"two adapters are needed, got {len(args.adapter)}: give --adapter twice")
    folder = prepare_folder(Path(args.out))
    pipe = fusion.open_on(args.pipeline)
    for name, where in zip(("first", "second"), args.adapter, strict=True):
        fusion.load_adapter(pipe, name, where)
    options: Any = {"prompt": args.prompt, "n": args.n, "steps": args.steps, "seed": args.seed}
    rows = run_pipeline(pipe, ["first", "second"], SETTINGS, folder, open_clip(args.clip), **options)
    for row in rows:
        print("  ".join(f"{key} {value:.3g}" if isinstance(value, float) else str(value) for key, value in row.items()))
    return 0


def study(
    chosen: list[Setting],
    adapted: Any,
    copies: list[Any],
    coordinates: Coordinates,
    judge: Judge,
    n: int,
    encoded: int,
    steps: int,
    seed: int,
    folder: Path,
) -> tuple[list[Row], Row]:
    """One row and some pictures for every setting; all settings share their noise."""
    rows, pictures, seen = [], {}, {}
    for name, kind, w, way in chosen:
        file = folder / f"{name.replace(' ', '_')}.npz"
        if not file.exists():
            x, said = draw(adapted, copies, coordinates, kind, w, way, n, steps, seed)
            parts = {"levels": np.round(255.0 * x).astype(np.uint8), "features": features_of(x[:encoded])}
            np.savez_compressed(file, **parts, said=json.dumps(said))
        with np.load(file) as kept:
            x, features = (kept["levels"] / 255.0).astype(np.float32), kept["features"]
            said = json.loads(str(kept["said"]))
        seen[name] = x, features
        about = {"setting": name, "kind": kind, "w": w} | said
        rows.append(about | judge.describe(x, features, np.random.default_rng(seed)))
        pictures[name] = [torch.from_numpy(image) for image in x[:12]]
        print(name, {k: round(rows[-1][k], 3) for k in ("first", "second", "crossed", "other", "middle")}, flush=True)
    x, features = (
        np.where((np.arange(len(a)) % 2 == 0).reshape(-1, *[1] * (a.ndim - 1)), a, b)
        for a, b in zip(seen["fused 0"], seen["fused 1"], strict=True)
    )
    about = {"setting": "mixture 0.5", "kind": "networks", "w": 0.5, "law": "arithmetic mixture", "ess": float(n)}
    about |= {"reach": "", "cpu_seconds": 0.0}
    rows.append(about | judge.describe(x, features, np.random.default_rng(seed)))
    return rows, pictures


def real_rows(judge: Judge, held_out: Any, n: int, encoded: int, seed: int) -> list[Row]:
    """What the judge says of real faces that nothing was trained on: its own floor."""
    made = []
    for name, classes in (("real groups", GROUPS), ("real crossed", CROSSED)):
        x = held_out.of(*classes)
        x = x[np.random.default_rng(seed).permutation(len(x))[:n]]
        about = {"setting": name, "kind": "real", "w": 0.5, "law": "held-out faces", "ess": float(len(x))}
        about |= {"reach": "", "cpu_seconds": 0.0}
        made.append(about | judge.describe(x, features_of(x[:encoded]), np.random.default_rng(seed)))
    return made


def learned(copies: list[Any], coordinates: Coordinates, x: np.ndarray, n: int, seed: int) -> Any:
    """Weights learned from faces; the coordinates stand where other pipelines have a VAE."""
    x = x[np.random.default_rng(seed).permutation(len(x))[:n]]
    pipe = make_pipeline(copies[0])
    pipe.vae = coordinates.as_vae()
    return quietly(fusion.learn_weights, pipe, [copies[0], copies[1]], torch.from_numpy(x), batch=16, rng=seed)


def claims_of(rows: list[Row], judge: Judge, fit: Any, quick: bool) -> list[Claim]:
    """The answers, with intervals over pictures; required is only what makes the others mean something, everywhere."""
    trainings: dict[str, list[Row]] = {}
    for row in rows:
        trainings.setdefault(row["setting"], []).append(row)

    def told(text: str, setting: str, what: str, low: float | None = None, control: str = "") -> Claim:
        least, every = None if quick else low, trainings[setting]
        row = every[0] if low is None else min(every, key=lambda row: float(row[what]))
        ends = (row[f"{what}_low"], row[f"{what}_high"])
        other = max(float(row[what]) for row in trainings[control]) if control else None
        values = "; ".join(f"{row[what]:.3g}" for row in every)
        note = f"by training: {values}" if len(every) > 1 else ""
        return within(text, float(row[what]), least, interval=ends, control=(other, control), note=note)

    found = [within("probe: accuracy on held-out faces", judge.accuracy, None if quick else 0.97)]
    for kind in ("", "adapters "):
        ends = [f"{kind}fused {w}" for w in (0, 1)]
        found += [
            told(f"{kind}weight {i}: share of its own group", name, group, low=0.7, control=ends[1 - i])
            for i, (name, group) in enumerate(zip(ends, ("first", "second"), strict=True))
        ]
        text = f"{kind}fused 0.5: share in the middle, of which the mixture has nothing"
        found.append(told(text, f"{kind}fused 0.5", "middle", low=0.25, control="mixture 0.5"))
    for setting in (
        *("fused 0.5", "adapters fused 0.5", "one a step 0.5", "corrected 0.5"),
        *("merged 0.5", "adapters merged 0.5", "mixture 0.5"),
    ):
        found += [told(f"{setting}: {what}", setting, what) for what in ("crossed", "other", "middle", "bimodality")]
        scores = "; ".join(f"{row['vendi']:.3g}" for row in trainings[setting])
        found.append(Claim(f"{setting}: Vendi score, by training", scores))
    found.append(Claim("corrected 0.5: is the barycenter in reach?", trainings["corrected 0.5"][0]["reach"]))
    interval = tuple(fit.confidence_interval()[1].tolist())
    found.append(
        within("weight of the second group that crossed faces ask for", float(fit.weights[1]), interval=interval)
    )
    return found


def print_rows(rows: list[Row]) -> None:
    """The table of all settings."""
    from rich.console import Console
    from rich.table import Table

    columns = ("first", "second", "crossed", "other", "middle", "bimodality", "vendi", "frechet", "precision", "recall")
    table = Table("setting", "training", *columns, title="Faces by setting: shares, and what lies between")
    for row in rows:
        table.add_row(row["setting"], str(row["training"]), *(f"{row[name]:.3g}" for name in columns))
    Console(width=140).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
