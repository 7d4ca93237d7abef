"""Each fuzzer for a moment: every transcript, mutated from a fixed seed. `make fuzz` runs them for long."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import (
    fuzz_address,
    fuzz_addresses,
    fuzz_dns,
    fuzz_header,
    fuzz_imap,
    fuzz_imap_grammar,
    fuzz_mime,
    fuzz_pop3,
    fuzz_proxy,
    fuzz_sasl,
    fuzz_seven_bit,
    fuzz_smtp,
    fuzz_smtp_client,
)
from tests.outside.odd_messages import odd_messages
from tests.transcript import load

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b".",
    b"\0",
    b" ",
    b"<",
    b">",
    b"@",
    b"\xff",
    b"99999",
    b"=",
    b"AUTH PLAIN ",
    b"BDAT 3 ",
)


def mutated(source: random.Random, data: bytes) -> bytes:
    content = bytearray(data)
    for _ in range(source.randrange(1, 6)):
        at = source.randrange(len(content) + 1)
        match source.randrange(3):
            case 0:
                content[at:at] = source.choice(PIECES)
            case 1:
                del content[at : at + source.randrange(1, 20)]
            case _:
                content[at : at + 1] = bytes([source.randrange(256)])
    return bytes(content)


@pytest.mark.parametrize(
    ("fuzz", "folder"),
    [
        (fuzz_smtp.fuzz, "smtp"),
        (fuzz_pop3.fuzz, "pop3"),
        (fuzz_imap.fuzz, "imap"),
        (fuzz_sasl.fuzz, "pop3"),
        (fuzz_header.fuzz, "smtp"),
        (fuzz_proxy.fuzz, "smtp"),
        (fuzz_address.fuzz, "smtp"),
        (fuzz_seven_bit.fuzz, "smtp"),
        (fuzz_addresses.fuzz, "smtp"),
    ],
    ids=["smtp", "pop3", "imap", "sasl", "header", "proxy", "address", "seven_bit", "addresses"],
)
def test_fuzzed_for_a_moment(fuzz: Callable[[bytes], None], folder: str) -> None:
    source = random.Random(20261124)
    files = sorted((TRANSCRIPTS / folder).glob("*.txt"))
    assert files
    for path in files:
        dialogue = b"".join(phase.client for phase in load(path).phases)[:3000]
        for _ in range(15):
            fuzz(bytes([source.randrange(256), source.randrange(256)]) + mutated(source, dialogue))


def test_fuzzed_replies_for_a_moment() -> None:
    """What other servers said in the client's transcripts, mutated."""
    source = random.Random(20261125)
    for path in sorted((TRANSCRIPTS / "smtp_client").glob("*.txt")):
        said = [line[3:].encode() + b"\r\n" for line in path.read_text().splitlines() if line.startswith("S:")]
        for _ in range(40):
            fuzz_smtp_client.fuzz(mutated(source, b"\xff\x00".join(said)))


def test_fuzzed_answers_for_a_moment() -> None:
    """Octets of any kind where records of any kind are expected."""
    source = random.Random(20261126)
    for _ in range(1500):
        fuzz_dns.fuzz(source.randbytes(source.randrange(120)))


def test_fuzzed_messages_for_a_moment() -> None:
    """Odd messages, and odder ones."""
    source = random.Random(20261127)
    for message in odd_messages().values():
        fuzz_mime.fuzz(message)
        for _ in range(3):
            fuzz_mime.fuzz(mutated(source, message[:3000]))


def test_fuzzed_names_and_sets_for_a_moment() -> None:
    """The characters that matter, in any order; and any octets."""
    source = random.Random(20261128)
    for _ in range(3000):
        count = source.randrange(12)
        fuzz_imap_grammar.fuzz(bytes(source.choices(b"&-,AGEUZl+/12:*$", k=count)))
        fuzz_imap_grammar.fuzz(source.randbytes(count))
