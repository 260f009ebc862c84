r"""MNIST-1D: noisy, shifted and stretched one-dimensional digits of 40 numbers, made by the package of that name.

The package draws from the global generators of numpy and ``random`` and reseeds them; both are put back as they were.
Its downloader, which would unpickle a file of the network, is never called. Items are rounded to 1e-6, so that they are
the same numbers on every machine; the package's own split (4,000 and 1,000) is kept.
"""

import random

import numpy as np

from .entry import Arrays, Files


def make_mnist1d(n: int, seed: int) -> dict[str, np.ndarray]:
    """Arrays ``x`` (0.8 n, 40), ``y``, ``x_test`` and ``y_test`` of n series, n / 10 of each digit.

    The global state of numpy's and Python's generators is the same before and after.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples, args.seed = n, seed
    # The package knows no other generator than the global ones.
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        made = make_dataset(args)
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
    return {key: np.asarray(made[key]) for key in ("x", "y", "x_test", "y_test")}


def decode(files: Files, split: str) -> Arrays:
    """The published set: 5,000 series from seed 42."""
    made = make_mnist1d(5000, 42)
    suffix = "" if split == "train" else "_test"
    return np.round(made[f"x{suffix}"], 6) + 0.0, made[f"y{suffix}"]
