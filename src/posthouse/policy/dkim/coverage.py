"""Which header fields a signature covers, and in which order they are hashed."""

from collections.abc import Iterable, Iterator

from posthouse.message.header import fields
from posthouse.policy.dkim.canonical import relaxed_field

# Signed once more than they stand there, so that none can be added later without breaking the signature
# (RFC 6376 8.15): a second From or Subject on top is what readers would be shown.
OVERSIGNED = (
    b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Reply-To", b"Sender", b"MIME-Version",
    b"Content-Type", b"Content-Transfer-Encoding", b"In-Reply-To", b"References",
)  # fmt: skip

# Signed where they stand (RFC 6376 5.4.1). Lists and those who resend may put theirs on top.
SIGNED = (
    b"List-Id", b"List-Help", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"List-Subscribe", b"List-Post",
    b"List-Owner", b"List-Archive", b"Resent-Date", b"Resent-From", b"Resent-To", b"Resent-Cc",
)  # fmt: skip

MAX_INSTANCES = 50  # of one name: the signature stays short, whatever the header section holds; more stay unsigned


def cover(head: bytes) -> tuple[list[bytes], bytes]:
    """A header section -> (the names for h=, what is hashed of the fields: canonical, each ended by CRLF)."""
    present: dict[bytes, list[bytes]] = {name.lower(): [] for name in (*OVERSIGNED, *SIGNED)}
    for name, value in fields(head):
        if name in present:
            present[name].append(value)
    names: list[bytes] = []
    hashed: list[bytes] = []
    for name in (*OVERSIGNED, *SIGNED):
        values = present[name.lower()]
        covered = values[: -MAX_INSTANCES - 1 : -1]  # RFC 6376 5.4.2: from the bottom up
        names += [name] * (len(covered) + (name in OVERSIGNED))
        hashed += [relaxed_field(name, value) + b"\r\n" for value in covered]
    return names, b"".join(hashed)


def folded(words: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Fill lines of at most `width` octets; every line but the first starts with a space, and so may a word.

    A word longer than that gets a line of its own.
    """
    line = b""
    for word in words:
        if line and len(line) + len(word) > width:
            yield line
            line = b" " + word.lstrip(b" ")
        else:
            line += word
    yield line
