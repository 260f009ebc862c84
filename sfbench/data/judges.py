r"""Trained networks by others, that judge samples from outside: a digit classifier and an image encoder.

Both are state dicts in PyTorch's format; their sha256 is verified before they are read, and they are read with
``weights_only``, which runs no code of the file. What they expect is part of what they are, so it is fixed here:

* `mnist_cnn`: two convolutions and two linear layers on 28 x 28 levels x, as ``(x/255 - 0.1307) / 0.3081``.
  It was trained on MNIST train: as a judge of models that were too, it is not an outsider to their data, only to them.
* `efficientnet_lite0`: 1,280 features of colour images, resized to 224 x 224 (bilinear), as ``(x - 127) / 128``.
  Trained on ImageNet photographs; distances between features of 28 x 28 digits rank models, their size means little.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .catalogue import CATALOGUE
from .errors import DataError
from .places import check_modules, find_files

_SIDE, _FEATURES = 224, 1280


def mnist_judge(x: ArrayLike, *, batch: int = 1000) -> np.ndarray:
    """Class probabilities (n, 10) of digits (n, 784), given as levels 0 ... 255, in float64.

    Levels need not be whole or inside the range: what samplers return may be judged as it is.

    Raises
    ------
    DataUnavailable
        If the network is not on this machine (`sfbench data fetch mnist_cnn`).
    DataError
        If x has another shape or is not finite.
    """
    import torch

    levels, network = _checked(x, 784), _mnist_cnn()

    def judge(images: Any) -> Any:
        return torch.softmax(network((images.reshape(-1, 1, 28, 28) / 255.0 - 0.1307) / 0.3081).double(), dim=1)

    return _in_batches(judge, levels, batch)


def image_features(x: ArrayLike, shape: tuple[int, ...], *, batch: int = 50) -> np.ndarray:
    """Features (n, 1280) of images (n, d), given as levels 0 ... 255, in float64.

    Parameters
    ----------
    x : array_like (n, d)
    shape : tuple of int
        Of one image: (h, w), which is repeated in all colours, or (h, w, 3); as `DataSet.shape`.
    batch : int
        Images at a time; 50 take about 0.5 GB.

    Raises
    ------
    DataUnavailable, DataError
        As :func:`mnist_judge`.
    """
    from torch.nn.functional import interpolate

    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3):
        raise DataError(f"shape must be (h, w) or (h, w, 3), got {shape}")
    levels, network = _checked(x, int(np.prod(shape))), _efficientnet()
    way: dict[str, Any] = {"mode": "bilinear", "antialias": True, "align_corners": False}

    def encode(rows: Any) -> Any:
        images = rows.reshape(-1, *shape)
        planes = images[:, None].repeat(1, 3, 1, 1) if len(shape) == 2 else images.moveaxis(3, 1).contiguous()
        maps = network.extract_features((interpolate(planes, (_SIDE, _SIDE), **way) - 127.0) / 128.0)
        return maps.mean(dim=(2, 3)).double()

    return _in_batches(encode, levels, batch)


def _in_batches(look: Callable[[Any], Any], levels: np.ndarray, batch: int) -> np.ndarray:
    """What a function of tensors says of levels (n, d), so many rows at a time."""
    import torch

    with torch.inference_mode():
        parts = torch.split(torch.from_numpy(levels.astype(np.float32)), batch)
        return np.concatenate([look(part).numpy() for part in parts])


def _checked(x: ArrayLike, dim: int) -> np.ndarray:
    levels = np.asarray(x, np.float64)
    if levels.ndim != 2 or levels.shape[1] != dim or not len(levels):
        raise DataError(f"images must have shape (n, {dim}) with n at least 1, got {levels.shape}")
    if not np.isfinite(levels).all():
        raise DataError(f"images are not finite, first in row {int(np.argmin(np.isfinite(levels).all(axis=1)))}")
    return levels


@lru_cache(maxsize=1)
def _mnist_cnn() -> Any:
    from torch import nn

    features = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    features += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(*features))
    network.add_module("flat", nn.Flatten())
    network.add_module("classifier", nn.Sequential(nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10)))
    return _filled(network, "mnist_cnn")


@lru_cache(maxsize=1)
def _efficientnet() -> Any:
    check_modules(CATALOGUE["efficientnet_lite0"])
    from efficientnet_lite_pytorch import EfficientNet

    return _filled(EfficientNet.from_name("efficientnet-lite0"), "efficientnet_lite0")


def _filled(network: Any, name: str) -> Any:
    """The network with the verified weights of an entry, ready to be evaluated."""
    files, place = find_files(CATALOGUE[name])
    [(file, content)] = files.items()
    try:
        network.load_state_dict(read_state(content, file))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(f"{name!r} from {place} does not fit its network: {reason}") from None
    return network.eval().requires_grad_(False)


def read_state(content: bytes, name: str) -> Mapping[str, Any]:
    """Tensors by name from PyTorch's format; anything else in the file is refused before it runs.

    Raises
    ------
    DataError
        If the file is not a state dict.
    """
    import torch

    try:
        with warnings.catch_warnings():  # what it warns of in strange files is an error here anyway
            warnings.simplefilter("ignore")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of damaged files fails in any way there is
        raise DataError(f"{name} is not a file of tensors: {(str(error) or repr(error)).splitlines()[0]}") from None
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise DataError(f"{name} holds something else than tensors by name")
    return state
