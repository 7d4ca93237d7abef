"""A server of several processes is one server: what is done in one of them, the sessions in all others are told."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from imapclient import IMAPClient
from tests.interop.imap.strict import Strict
from tests.interop.imap.test_imapclient import wait_for
from tests.outside import samples

# The kernel deals connections out among the processes: with so many, hardly ever are all in one.
SESSIONS = 10
MESSAGES = 6


@pytest.fixture
def clients(strict_server: Strict) -> Iterator[list[IMAPClient]]:
    """Sessions that all have the same mailbox open."""
    context = ssl.create_default_context(cafile=str(strict_server.ca_file))
    with ExitStack() as stack:
        found = []
        for _ in range(SESSIONS):
            client = stack.enter_context(
                IMAPClient("localhost", strict_server.tls_port, ssl_context=context, timeout=60)
            )
            client.login(strict_server.user, strict_server.password)
            client.select_folder("INBOX")
            found.append(client)
        yield found


def test_idle(strict_server: Strict, clients: list[IMAPClient]) -> None:
    for client in clients:
        client.idle()
    for number in range(MESSAGES):
        strict_server.deliver(samples.plain(f"letter {number}"))
    for client in clients:
        wait_for(client, lambda came: came == (MESSAGES, b"EXISTS"))
    first, second, *others = clients
    first.idle_done()
    first.add_flags([1], [b"\\Flagged", b"told-to-all"])
    for client in [second, *others]:
        wait_for(client, lambda came: came[:2] == (1, b"FETCH") and "told-to-all" in str(came))
    first.delete_messages([2])
    first.uid_expunge([2])
    for client in [second, *others]:
        wait_for(client, lambda came: came == (2, b"EXPUNGE"))
        client.idle_done()
        assert client.search() == [1, 3, 4, 5, 6]


def test_each_sees_at_once_what_another_was_granted(clients: list[IMAPClient]) -> None:
    """No answer is older than an answer that was given before, in whichever process."""
    for number, client in enumerate(clients):
        client.create_folder(f"in turn {number}")
        client.append("INBOX", samples.plain(f"turn {number}"))
        for other in clients:
            assert other.folder_exists(f"in turn {number}")
            other.noop()
            (last,) = other.fetch([other.search()[-1]], ["BODY.PEEK[HEADER]"]).values()
            assert f"Subject: turn {number}\r\n".encode() in last[b"BODY[HEADER]"]
