"""A program that is attacked and watched, one for each file of tests."""

from collections.abc import Iterator

import pytest

from tests.faults.siege import Siege, besieged
from tests.outside.program import running


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with running(tmp_path_factory.mktemp("siege") / "data") as program:
        accounts = program.add_accounts(["small", "folders", "words", "many"])
        program.run("account", "quota", "small@example.test", "200000B")
        with besieged(program, accounts) as siege:
            yield siege
