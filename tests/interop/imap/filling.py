"""Two thousand messages in folders with the names that people give them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from imapclient import IMAPClient
from tests.interop.imap.account import ImapAccount
from tests.outside import samples

TREE = {
    "INBOX": 600,
    "Archive/2023": 250,
    "Archive/2024": 250,
    "Rechnungen/2024/März": 300,
    "日本語": 200,
    "a & b": 200,
    "Sent": 100,
    "Lists/python/dev": 100,
}
TOTAL = 2000
FLAGS: tuple[tuple[str, ...], ...] = ((), ("\\Seen",), ("\\Seen", "\\Answered"), ("\\Flagged",), ("\\Seen", "\\Draft"))
assert sum(TREE.values()) == TOTAL
BATCH = 100  # messages in one APPEND
_BEGAN = datetime(2024, 2, 28, 12, tzinfo=UTC)


def letter(folder: str, number: int) -> bytes:
    """A message that is like no other: every tenth has eight bits, every third ends without a line end."""
    text = b"Gr\xc3\xbc\xc3\x9fe.\r\n" if number % 10 == 0 else b"Hello.\r\n"
    return samples.plain(
        f"letter {number} of {len(folder)}",
        text + b".dots\r\n" * (number % 40) + folder.encode() + b"\r\n" * bool(number % 3),
    )


def letters(folder: str, count: int, first: Sequence[bytes] = ()) -> list[bytes]:
    """`first`, then letters of our own."""
    return [*first, *(letter(folder, number) for number in range(count))][:count]


def difficult() -> list[bytes]:
    """CPython's messages, but for those whose header has no end: mbsync skips them."""
    return [message for message in samples.cpython_messages().values() if b"\r\n\r\n" in message]


def append_all(client: IMAPClient, folder: str, messages: Sequence[bytes]) -> None:
    """MULTIAPPEND (RFC 3502) with literals that wait for nothing, flags and dates in turn."""
    for start in range(0, len(messages), BATCH):
        batch = [
            {"msg": message, "flags": FLAGS[n % len(FLAGS)], "date": _BEGAN + timedelta(minutes=n)}
            for n, message in enumerate(messages[start : start + BATCH], start)
        ]
        kind, data = client.multiappend(folder, batch)
        assert kind == "OK", data


def fill(account: ImapAccount, first: Sequence[bytes] = ()) -> None:
    """Make the folders and append what belongs there; `first` are the first messages of INBOX."""
    with account.imapclient() as client:
        for folder, count in TREE.items():
            if not client.folder_exists(folder):
                client.create_folder(folder)
            client.subscribe_folder(folder)
            append_all(client, folder, letters(folder, count, first if folder == "INBOX" else ()))
