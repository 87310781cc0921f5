"""Shared by all tests: one thread for arithmetic, a cache folder of their own, the real packets where named."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; two workers share two cores

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TSC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def own_main():
    """A page under `AppTest` puts itself in the place of `__main__`, which later processes would start from."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def real_archive() -> Path:
    path = os.environ.get("TSC_ALERT_ARCHIVE")
    if not path:
        pytest.skip("TSC_ALERT_ARCHIVE is not set: no real packets to test on")
    return Path(path)


@pytest.fixture(scope="session")
def shipped_folder(tmp_path_factory) -> Path:
    """Bundles of random weights, one for each n."""
    from tests.made_objects import save_shipped

    return save_shipped(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def random_bundles(monkeypatch, shipped_folder) -> Path:
    """The same, in the place of those that ship."""
    monkeypatch.setattr("tsc_core.bundle.CHECKPOINTS", shipped_folder)
    return shipped_folder
