"""One running server for all IMAP clients; each test uses an account of its own."""

import itertools
import os
from collections.abc import Iterator

import pytest
from tests.interop.imap.account import ImapAccount
from tests.interop.imap.peers import Peer, serving
from tests.interop.imap.strict import Strict, strict
from tests.outside.program import DOMAIN, PASSWORD

PAIRS = 80
DEFAULT = "posthouse"


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """What POSTHOUSE_TEST_PEER names."""
    kind = os.environ.get("POSTHOUSE_TEST_PEER", DEFAULT)
    assert kind in ("posthouse", "dovecot"), f"POSTHOUSE_TEST_PEER={kind}: posthouse or dovecot"
    with serving(kind, tmp_path_factory.mktemp("imap"), [f"m{n}" for n in range(2 * PAIRS)]) as peer:
        yield peer


@pytest.fixture(scope="session")
def _pairs() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def account(peer: Peer, _pairs: Iterator[int]) -> ImapAccount:
    """An account that no other test uses."""
    number = next(_pairs)
    assert number < PAIRS, "more tests than accounts: raise PAIRS"
    return ImapAccount(peer, f"m{2 * number}@{DOMAIN}", PASSWORD, f"m{2 * number + 1}@{DOMAIN}")


@pytest.fixture(scope="session")
def strict_server(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    """A server of several processes, with nothing relaxed for tests."""
    with strict(peer, tmp_path_factory.mktemp("strict"), f"m{2 * PAIRS - 1}@{DOMAIN}") as server:
        yield server
