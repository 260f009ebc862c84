"""Pictures turned into what a pipeline's network sees: the latents of its VAE, or scaled pixels where it has none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._internal.validation import as_real
from .errors import DiffusersError
from .experts import find_denoiser

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def as_pictures(images: Any) -> list[Any]:
    """Pictures (PIL, or tensors (colours, height, width) in [0, 1]) of a folder, paths, PIL images, or an array.

    Arrays (n, height, width, colours) and tensors (n, colours, height, width) hold bytes, or numbers in [0, 1].
    """
    if isinstance(images, str | Path):
        folder = Path(images)
        if not folder.is_dir():
            raise DiffusersError(f"images={str(images)!r} is not a folder of pictures")
        images = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        if not images:
            raise DiffusersError(f"the folder {str(folder)!r} holds no pictures ({', '.join(_SUFFIXES)})")
    if isinstance(images, np.ndarray | Tensor):
        if isinstance(images, np.ndarray):
            as_real("images", images, DiffusersError)
        array = torch.as_tensor(images)
        if array.is_complex():
            raise DiffusersError(f"images must hold bytes or numbers in [0, 1], got {array.dtype}")
        if array.ndim != 4:
            raise DiffusersError(f"images must be (n, height, width, colours), got shape {tuple(array.shape)}")
        if isinstance(images, np.ndarray):
            array = array.permute(0, 3, 1, 2)
        array = array / 255.0 if array.dtype == torch.uint8 else array.float()
        low, high = (float(array.min()), float(array.max())) if array.numel() else (0.0, 0.0)
        if not (low >= 0.0 and high <= 1.0):
            raise DiffusersError(f"images must hold bytes or numbers in [0, 1], got [{low:.3g}, {high:.3g}]")
        images = list(array)
    if not isinstance(images, Sequence) or not images:
        raise DiffusersError("images must be a folder, a list of pictures, or an array, and hold at least one picture")
    return [_picture(image, i) for i, image in enumerate(images)]


def _picture(image: Any, i: int) -> Any:
    from PIL import Image, UnidentifiedImageError

    if isinstance(image, str | Path):
        try:
            with Image.open(image) as opened:
                return opened.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise DiffusersError(f"images[{i}] = {str(image)!r} cannot be read: {error}") from None
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, Tensor):
        return image
    raise DiffusersError(f"images[{i}] must be a picture or its path, got a {type(image).__name__}")


def encode(pipe: Any, pictures: Sequence[Any], size: tuple[int, int] | None = None) -> Tensor:
    """Latents (n, ...) of pictures, resized to (height, width) if given, float32 on the CPU, as the network sees them.

    The mean of the VAE's posterior is taken; without a VAE pixels are scaled to [-1, 1].
    """
    vae = getattr(pipe, "vae", None)
    config = getattr(find_denoiser(pipe)[1] if vae is None else vae, "config", None)
    grey = getattr(config, "in_channels", 3) == 1
    pixels = _pixels([p.convert("L") if grey and not isinstance(p, Tensor) else p for p in pictures], size)
    if vae is None:
        return pixels
    device = getattr(pipe, "_execution_device", vae.device)
    before = vae.dtype
    upcast = before == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    if upcast:
        vae.to(torch.float32)
    try:
        with torch.no_grad():
            latents = vae.encode(pixels.to(device=device, dtype=vae.dtype)).latent_dist.mode().float()
    finally:
        if upcast:
            vae.to(before)
    config = vae.config
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is not None and std is not None:
        centre, spread = (torch.as_tensor(v).to(latents).reshape(1, -1, 1, 1) for v in (mean, std))
        latents = (latents - centre) / spread
    shift = getattr(config, "shift_factor", None) or 0.0
    scale = getattr(config, "scaling_factor", None) or 1.0
    latents = (latents - shift) * scale
    if not bool(torch.isfinite(latents).all()):
        raise DiffusersError(f"the VAE's latents are not finite in {before}; load it in float32 or bfloat16")
    on_host: Tensor = latents.cpu()
    return on_host


def _pixels(pictures: Sequence[Any], size: tuple[int, int] | None) -> Tensor:
    """Pixels (n, colours, height, width) in [-1, 1]."""
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor(do_resize=size is not None, vae_scale_factor=1)
    height, width = size or (None, None)
    made = [processor.preprocess(picture, height=height, width=width)[0] for picture in pictures]
    shapes = {tuple(pixels.shape) for pixels in made}
    if len(shapes) > 1:
        raise DiffusersError(f"images have several sizes, {sorted(shapes)[:3]}; pass height= and width= to resize them")
    return torch.stack(made).float()


def shaped(pipe: Any, latents: Tensor, shape: torch.Size) -> Tensor:
    """Latents in the shape (rows, ...) that the pipeline gives to its network, packed where it packs them."""
    if latents.shape[1:] == shape[1:]:
        return latents
    pack = getattr(pipe, "_pack_latents", None)
    if pack is not None and latents.ndim == 4:
        packed: Tensor = pack(latents, *latents.shape)
        if packed.shape[1:] == shape[1:]:
            return packed
    raise DiffusersError(
        f"the images give latents of shape {tuple(latents.shape[1:])}, and the network of the {type(pipe).__name__} is "
        f"given {tuple(shape[1:])}; pass images (or height= and width=) of the size that the pipeline draws"
    )
