"""Laws of the reference problem, for exact networks; whose warnings count."""

import pytest

from synthetic import GaussianMixture, make_problem


@pytest.fixture(scope="session")
def laws() -> tuple[GaussianMixture, GaussianMixture]:
    return tuple(make_problem("paper_mixture_1d", space="raw", scale=6.0).auxiliaries)


_LIBRARIES = ("diffusers", "peft", "transformers", "accelerate", "torch", "huggingface_hub")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings that the libraries give about themselves are not ours."""
    for item in items:
        if "tests/diffusers" in item.path.as_posix():
            for library in _LIBRARIES:
                item.add_marker(pytest.mark.filterwarnings(rf"ignore:::{library}(\..*)?"))
            item.add_marker(pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"))  # of tensors
