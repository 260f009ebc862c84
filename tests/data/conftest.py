"""Real data for tests: read from where they are; a test that needs fetched files is marked `data` and fails without."""

import pytest

from sfbench.data import DataUnavailable, load_items
from sfbench.data.places import check_modules, find_files
from sfbench.data.registry import data_entry


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache, so that nothing depends on what the user has fetched."""
    monkeypatch.setenv("SFBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def real_files(request):
    """Files of an entry, by name."""

    def get(name):
        entry = data_entry(name)
        if entry.archives and not request.node.get_closest_marker("data"):
            pytest.fail(f"{name!r} must be fetched: mark this test `data`")
        try:
            check_modules(entry)
            return find_files(entry)[0]
        except DataUnavailable as error:
            pytest.fail(str(error))

    return get


@pytest.fixture
def real_items(real_files):
    """Items of an entry, by name and split."""

    def get(name, split=None):
        real_files(name)
        return load_items(name, split)

    return get
