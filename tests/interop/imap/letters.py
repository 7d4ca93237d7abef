"""A few messages with everything that search, sort and thread look at."""

from collections.abc import Sequence


def written(
    subject: str,
    *,
    sender: str = "Sender <sender@client.test>",
    day: int = 5,
    number: str = "",
    references: Sequence[str] = (),
    body: str = "Hello.",
) -> bytes:
    """A message of that day of January 2026; 8-bit where the words are."""
    head = [
        f"From: {sender}",
        "To: Alice <alice@example.test>",
        f"Subject: {subject}",
        f"Date: Mon, {day:02} Jan 2026 10:00:00 +0000",
        f"Message-ID: <{number or subject.replace(' ', '.')}@client.test>",
        *([f"References: {' '.join(f'<{each}@client.test>' for each in references)}"] if references else []),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    return ("\r\n".join(head) + f"\r\n\r\n{body}\r\n").encode()


# UIDs 1 to 5 in a new mailbox: two threads, the second of one message.
CONVERSATION = (
    written("plans", sender="Zoe <zoe@client.test>", day=5, number="p1", body="A picnic?"),
    written("Re: plans", sender="Adam <adam@client.test>", day=7, number="p2", references=["p1"], body="Yes, in Köln."),
    written("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", sender="Bert <bert@client.test>", day=6, number="g1", body="x" * 3000),
    written("Re: plans", sender="Carl <carl@client.test>", day=8, number="p3", references=["p1"], body="No."),
    written("Re: plans", sender="Zoe <zoe@client.test>", day=9, number="p4", references=["p1", "p2"], body="Good."),
)
