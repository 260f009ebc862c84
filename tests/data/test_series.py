"""Series: returns by hand, splits that share no day, whole days only, and generators that leave no trace."""

import random

import numpy as np
import pytest

from sfbench.data import DataError
from sfbench.data.index_returns import _prices, decode, return_windows
from sfbench.data.temperatures import whole_days


def test_returns_by_hand():
    windows = return_windows(np.array([100.0, 110.0, 99.0, 99.0, 108.9]), 2, 2)
    np.testing.assert_allclose(windows, [[9.531018, -10.536052], [0.0, 9.531018]], atol=5e-7)
    for prices in (np.ones(2), np.array([1.0, -1.0, 1.0]), np.array([1.0, np.nan, 1.0])):
        with pytest.raises(DataError, match="positive prices"):
            return_windows(prices, 2, 1)


def price_table(prices):
    import gzip

    days = [f"{m}/{d}/{y}" for y in (2015, 2016, 2017, 2018) for m in range(1, 13) for d in range(1, 26)]
    rows = "".join(f"{day},{price}\n" for day, price in zip(days, prices, strict=True))
    return gzip.compress(("Date,Adj Close\n" + rows).encode())


def test_splits_share_no_day_and_regimes_are_those_of_the_past():
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((2, 1200)) * np.repeat([0.5, 2.0, 0.5, 4.0], 300) / 100
    prices = 100 * np.exp(np.cumsum(steps, axis=1))
    files = {f"{name}.csv.gz": price_table(p) for name, p in zip(("sp500", "nasdaq"), prices, strict=True)}
    x, y, turbulent = decode(files, "train")
    later, later_y, later_turbulent = decode(files, "test")
    assert x.shape[1] == later.shape[1] == 32
    assert set(y) == set(later_y) == {0, 1}
    returns = np.round(100 * np.diff(np.log(prices[0])), 6)
    np.testing.assert_array_equal(x[y == 0][-1], returns[564:596])  # the next window would need the return 599
    np.testing.assert_array_equal(later[0], returns[599:631])  # from the first day of 2017 onwards
    assert abs(turbulent.mean() - 0.5) < 0.02
    assert later_turbulent[later_y == 0][:60].mean() < 0.2  # the calm year 2017
    assert later_turbulent[later_y == 0][-60:].all()


def test_tables_that_are_none_are_refused():
    for text in ("", "Date,Close\n1/2/2000,3\n", "Date,Adj Close\n1/2/2000,x\n", "Date,Adj Close\n1-2,3\n"):
        with pytest.raises(DataError, match="sp500 is"):
            _prices(text, "sp500")


def test_only_whole_days_count():
    hours = [f"2010/01/{day:02d} {h:02d}:00,{30 + day + h / 10}" for day in (1, 2, 3, 4) for h in range(24)]
    del hours[24 + 5]  # the second day lacks an hour, the third has one twice
    hours.insert(60, hours[60])
    days, months = whole_days("date,temp\n" + "\n".join(hours), "here")
    np.testing.assert_allclose(days, 30 + np.array([[1], [4]]) + np.arange(24) / 10)
    np.testing.assert_array_equal(months, [1, 1])
    for text in ("", "date,temp\nyesterday,3\n", "date,temp\n2010/01/01 00:00,cold\n", "a,b\n1,2\n"):
        with pytest.raises(DataError, match="here"):
            whole_days(text, "here")


@pytest.mark.data
def test_real_series(real_items):
    train, test = real_items("series", "train"), real_items("series", "test")
    assert len(train.x) == 2250
    assert len(test.x) == 236
    assert not set(map(bytes, train.x)) & set(map(bytes, test.x))
    assert train.x.std() > test.x.std()  # two crashes against two quiet years


@pytest.mark.data
def test_real_temperatures(real_items):
    items = real_items("temperatures")
    assert items.x.shape == (728, 24)
    january, july = (items.x[(items.y == 0) & (items.groups == month)] for month in (0, 6))
    assert july.mean() > january.mean() + 15


@pytest.mark.slow
def test_mnist1d_leaves_the_global_generators_alone(real_items):
    from sfbench.data.mnist1d import make_mnist1d

    real_items("mnist1d", "test")
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = (np.random.rand(), random.random())  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    first, again = make_mnist1d(100, 1), make_mnist1d(100, 1)
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002
    np.testing.assert_array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], make_mnist1d(100, 2)["x"])
    assert first["x"].shape == (80, 40)
