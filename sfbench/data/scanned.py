"""Images that others scanned: handwritten digits and clothes, in the idx format or as tables of pixels."""

import io

import numpy as np

from .entry import Arrays, Files
from .idx import decode_idx, gunzip


def decode_table(files: Files, split: str) -> Arrays:
    """A gzipped table of numbers whose last column is the label."""
    [(name, content)] = files.items()
    table = np.loadtxt(io.StringIO(gunzip(content, name).decode()), delimiter=",")
    return table[:, :-1], table[:, -1]


def decode_idx_pair(files: Files, split: str) -> Arrays:
    """Images and labels of a split, each a file of its own."""
    stem = {"train": "train", "test": "t10k"}[split]
    found = [next(f for f in files.items() if f[0].startswith(f"{stem}-{part}")) for part in ("images", "labels")]
    x, y = (decode_idx(content, name) for name, content in found)
    return x.reshape(len(x), -1), y
