"""Tests marked ``data`` need fetched files: they run when asked for (``pytest -m data``) and are left out otherwise."""


def pytest_collection_modifyitems(config, items):
    if "data" in (config.option.markexpr or "").replace("not data", ""):
        return
    left_out = [item for item in items if item.get_closest_marker("data")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("data")]
