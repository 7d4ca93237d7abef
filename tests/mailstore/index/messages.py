"""Messages for tests of the index, and what it should say of them, found out the slow way."""

from collections.abc import Sequence

from posthouse.mailstore.index import MessageIndex, MessageSummary
from posthouse.mailstore.interface import INBOX, Mailstore
from posthouse.message.text import Digest, digest, fold
from tests.stores import NOW, append, box_of, ids_of, letter

ACCOUNT = (1 << 62) + 12345  # ids of accounts are large


def mail(subject: str = "Hello", body: str = "How are you?", **fields: str) -> bytes:
    """A message in UTF-8."""
    header = {"From": "Ann Smith <ann@example.net>", "To": "bob@example.test", "Subject": subject}
    header |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in header.items()]
    lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return "\r\n".join([*lines, "", body, ""]).encode()


async def keep(store: Mailstore, *messages: bytes, account: int = ACCOUNT, mailbox: str = INBOX) -> list[int]:
    """Put them into a mailbox; the ids of all that are there."""
    await append(store, account, *map(letter, messages), mailbox=mailbox)
    return await ids_of(store, account, mailbox)


async def search(
    index: MessageIndex, store: Mailstore, field: str, needle: str, *, account: int = ACCOUNT
) -> list[int]:
    """Positions of those in the INBOX that have it."""
    box, ids = await box_of(store, account), await ids_of(store, account)
    found = await index.contains(account, box.id, ids, field, needle)
    assert found <= set(ids)
    return [at for at, message in enumerate(ids) if message in found]


async def shown(
    index: MessageIndex, store: Mailstore, ids: Sequence[int], *, account: int = ACCOUNT, envelope_only: bool = False
) -> list[MessageSummary]:
    """What is shown of messages in the INBOX."""
    items = await store.items(account, (await box_of(store, account)).id, ids)
    return await index.summaries(account, items, envelope_only=envelope_only)


def shown_of(data: bytes) -> MessageSummary:
    made = digest(data, NOW)
    return MessageSummary(made.envelope, made.structure, made.preview)


def has(made: Digest, field: str, needle: str) -> bool:
    """Whether a message's field has the needle."""
    needle = fold(needle)
    lines = [fold(line) for line in made.header.split("\n")]
    if field.startswith("header:"):
        start = fold(field.removeprefix("header:")) + ":"
        values = [line.removeprefix(start) for line in lines if line.startswith(start)]
        return any(needle in value.removeprefix(" ") for value in values)
    if not needle and field not in ("text", "body"):
        return any(line.startswith(f"{field}:") for line in lines)
    body = fold(made.body)
    within = [fold(line) for line in made.parts.split("\n")]
    texts = {
        "text": [*lines, *within, body],
        "body": [body],
        "subject": [fold(made.subject)],
        "from": [fold(made.sender)],
        "to": [fold(made.to)],
        "cc": [fold(made.cc)],
        "bcc": [fold(made.bcc)],
    }
    return any(needle in text for text in texts[field])
