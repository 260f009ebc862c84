"""The same settings with a pipeline and adapters of one's own, such as SDXL with two portrait adapters (needs a GPU).

Pictures of every setting share their noise; CLIP says how far each shows either attribute, zero-shot: the share of
pictures for which the second of two texts is the likelier one, for both attributes, and how often they are crossed.
*Bimodality* is that of the log odds, averaged over attributes; the *Vendi score* is that of CLIP's features. Whether
the barycenter is in reach, a few pictures without guidance say.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfbench.diffusers as fusion
from sfbench.files import provenance, write_json
from sfbench.sampling import TrustWarning

from ..common.study import Row
from .judge import bimodality, vendi

PIPELINE, CLIP = "stabilityai/stable-diffusion-xl-base-1.0", "openai/clip-vit-large-patch14"
PROMPT = "a portrait photo of a person"
ATTRIBUTES = (("a photo of a woman", "a photo of a man"), ("a person with light skin", "a person with dark skin"))
_PILOT = 4  # pictures that say whether the barycenter is in reach; they are drawn in one batch
_MEAN, _STD = (0.4814547, 0.4578275, 0.4082107), (0.2686295, 0.2613026, 0.2757771)  # what CLIP was trained with


def open_clip(name: str) -> tuple[Any, Any]:
    """CLIP and its tokenizer from a folder, the local cache, or the hub."""
    from transformers import AutoTokenizer, CLIPModel

    clip: Any = CLIPModel.from_pretrained(name)
    return clip.eval(), AutoTokenizer.from_pretrained(name)


def attributes_of(images: Sequence[Any], clip: Any, tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Log odds (n, 2) of the second text of each attribute, and features (n, d) of the pictures."""
    from diffusers.image_processor import VaeImageProcessor

    side = clip.config.vision_config.image_size
    pixels = VaeImageProcessor(vae_scale_factor=1).preprocess(list(images), height=side, width=side) / 2 + 0.5
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (_MEAN, _STD))
    found = []
    for texts in ATTRIBUTES:
        words = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        with torch.no_grad():
            output = clip(pixel_values=(pixels - mean) / std, **words)
        found.append((output.logits_per_image[:, 1] - output.logits_per_image[:, 0]).double().numpy())
    return np.stack(found, axis=1), output.image_embeds.double().numpy()


def run_pipeline(
    pipe: Any,
    experts: Sequence[Any],
    settings: Sequence[float],
    folder: Path,
    clip: tuple[Any, Any],
    *,
    prompt: str = PROMPT,
    n: int = 8,
    steps: int = 30,
    seed: int = 0,
    **options: Any,
) -> list[Row]:
    """Draw every setting and the rivals at 0.5, write the grid and the recipe, and judge the pictures."""
    with fusion.fused(pipe, experts) as handle:
        drawn = fusion.draw_grid(
            handle, [[1 - w, w] for w in settings], prompt, n, rng=seed, num_inference_steps=steps, **options
        )
        handle.weights = [0.5, 0.5]
        handle.save(folder / "recipe")
        few, made = min(n, _PILOT), fusion.sde_scheduler(pipe, use_karras_sigmas=True)
        bare = {"guidance_scale": 1.0, "scheduler": made, "pilot": few, "verbose": False, "rng": seed} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # the verdict is reported
            corrected = fusion.sample(pipe, prompt, few, "corrected", steps=steps, **bare)
    options["num_inference_steps"] = steps
    ways = ["switched", "mixture", *(["adapters"] if all(isinstance(e, str) for e in experts) else []), "linear"]
    rivals = fusion.compare(pipe, experts, [0.5, 0.5], prompt, ways=ways, n=n, rng=seed, **options)
    pictures = {f"fused {label}": images for label, images in drawn.items()}
    pictures |= {f"{way.name} 0.5": list(way.images) for way in rivals.ways}
    fusion.tile(pictures).save(folder / "faces.png")
    rows = []
    for name, images in pictures.items():
        odds, features = attributes_of(images, *clip)
        likely = odds > 0
        crossed = likely[:, 0] != likely[:, 1]
        error = float(np.sqrt(max(crossed.mean() * (1 - crossed.mean()), 0.25 / n) / n))
        shares = {"male": float(likely[:, 0].mean()), "dark": float(likely[:, 1].mean())}
        between = {"bimodality": bimodality(odds.mean(axis=1)), "vendi": vendi(features)}
        rows.append({"setting": name, **shares, "crossed": float(crossed.mean()), "crossed_stderr": error, **between})
    assert corrected.pilot is not None
    about = provenance(seed) | {"prompt": prompt, "n": n, "barycenter": corrected.pilot.verdict(n)}
    write_json(folder / "pipeline.json", about | {"rows": rows})
    return rows
