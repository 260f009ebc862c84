"""Token data that install: scikit-learn's 8 x 8 digits in three levels of grey, and texts of Python and its libraries.

Texts are windows of letters and spaces: the language reference that comes with Python, docstrings of numpy and scipy,
and (the target) docstrings of the standard library. They change with the versions of these packages.
"""

import importlib
import inspect
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz "
WINDOW = 16
SHARES = (0.1, 0.3, 0.7, 0.9)  # of the digits 5 to 9 in the auxiliaries' data
TARGET_SHARE = 0.4
_SCIENCE = (
    "numpy",
    "scipy.stats",
    "scipy.signal",
    "scipy.optimize",
    "scipy.linalg",
    "scipy.interpolate",
    "scipy.ndimage",
)
_LIBRARY = """
argparse ast asyncio calendar codecs collections configparser contextlib copy csv datetime decimal difflib
email.message enum functools gzip heapq http.client inspect io itertools json logging mailbox math os pathlib
pickle platform random re selectors shutil socket sqlite3 ssl statistics string subprocess tarfile tempfile
textwrap threading tokenize traceback types typing unittest urllib.request uuid warnings weakref zipfile
"""


@final
@dataclass(frozen=True, eq=False)
class Tokens:
    """Data of one kind.

    Attributes
    ----------
    alphabet : int
    base : array (n, L)
        What all networks start from.
    auxiliaries : tuple of arrays (n_i, L)
    target : array (n, L)
        Rows to fit to.
    held_out : array (n, L)
        Rows of the target to judge by.
    """

    alphabet: int
    base: np.ndarray
    auxiliaries: tuple[np.ndarray, ...]
    target: np.ndarray
    held_out: np.ndarray


@cache
def digits() -> Tokens:
    """Auxiliaries with 10, 30, 70, 90 % of digits 5 to 9, the target with 40 %; each side has half of the images."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, high = np.digitize(found.data, [5.0, 12.0]), found.target >= 5
    order = np.random.default_rng(0).permutation(len(x))
    parts = [order[high[order] == side] for side in (False, True)]
    ours, theirs = [p[: len(p) // 2] for p in parts], [p[len(p) // 2 :] for p in parts]

    def mixed(sides: list[np.ndarray], share: float, n: int, rng: np.random.Generator) -> np.ndarray:
        many = round(share * n)
        rows = np.concatenate([rng.permutation(sides[0])[: n - many], rng.permutation(sides[1])[:many]])
        return np.asarray(x[rng.permutation(rows)])

    rng = np.random.default_rng(1)
    auxiliaries = tuple(mixed(ours, share, 400, rng) for share in SHARES)
    rows = mixed(theirs, TARGET_SHARE, 740, rng)
    return Tokens(3, x[np.concatenate(ours)], auxiliaries, rows[:370], rows[370:])


@cache
def text() -> Tokens:
    """Auxiliaries of the language reference and of scientific docstrings; the standard library's are the target."""
    from pydoc_data.topics import topics

    rng = np.random.default_rng(2)
    reference = windows(" ".join(topics[name] for name in sorted(topics)), rng)
    science = windows(" ".join(docstrings(_SCIENCE)), rng)
    own = windows(" ".join(docstrings(_LIBRARY.split())), rng)
    n = min(len(reference), len(science))
    return Tokens(
        len(LETTERS),
        np.concatenate([reference[: n // 4], science[: n // 4]]),
        (reference, science),
        own[:4000],
        own[4000:6000],
    )


def windows(words: str, rng: np.random.Generator) -> np.ndarray:
    """Disjoint windows (n, 16) of a text in letters and single spaces, in random order."""
    plain = re.sub(r"[^a-z]+", " ", words.lower())
    tokens = np.array([LETTERS.index(letter) for letter in plain], dtype=np.int64)
    return rng.permutation(tokens[: len(tokens) // WINDOW * WINDOW].reshape(-1, WINDOW))


def docstrings(modules: Iterable[str]) -> list[str]:
    """Docstrings of the modules' public functions, classes and methods, each once."""
    found: dict[str, None] = {}
    for name in modules:
        module = importlib.import_module(name)
        for member in [module, *_public(module)]:
            for holder in [member, *(_public(member) if inspect.isclass(member) else [])]:
                text = inspect.getdoc(holder) if holder is module or callable(holder) else None
                if text and len(text) > 60:
                    found[text] = None
    return list(found)


def _public(holder: object) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated names
        return [getattr(holder, name, None) for name in sorted(dir(holder)) if not name.startswith("_")]
