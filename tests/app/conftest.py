"""A data folder that has been in use."""

import shutil
from pathlib import Path

import pytest

from tests.app.folders import ALICE, first_version, serving, stop, subjects


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of before that has been served, stopped, served and stopped: named, at generation 2."""
    folder = tmp_path_factory.mktemp("served")
    data = first_version(folder)
    for _ in range(2):
        with serving(folder, data) as server:
            assert subjects(server) == ALICE
            stop(server)
    return data


@pytest.fixture
def data(served: Path, tmp_path: Path) -> Path:
    return shutil.copytree(served, tmp_path / "data")
