"""Real data for tests: what is on this machine, else a skip; in CI, what is small is fetched and must be there."""

import os

import pytest

from sfbench.data import DataUnavailable, fetch_data, load_items
from sfbench.data.places import check_modules, find_files
from sfbench.data.registry import data_entry

FETCHED_IN_CI = ("series", "temperatures", "alanine", "faces", "mnist_cnn")  # 1, .2, 12, 2.3 and 5 MB


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache, so that nothing depends on what the user has fetched."""
    monkeypatch.setenv("SFBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def real_files():
    """Files of an entry, by name."""

    def get(name):
        entry = data_entry(name)
        try:
            if os.environ.get("CI") and name in FETCHED_IN_CI:
                fetch_data(name, decode=False)
            check_modules(entry)
            return find_files(entry)[0]
        except DataUnavailable as error:
            small = name in FETCHED_IN_CI or not entry.archives
            if os.environ.get("CI") and small:
                pytest.fail(str(error))
            pytest.skip(str(error))

    return get


@pytest.fixture
def real_items(real_files):
    """Items of an entry, by name and split."""

    def get(name, split=None):
        real_files(name)
        return load_items(name, split)

    return get
