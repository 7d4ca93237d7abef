"""What the SMTP engine costs by itself: octets in, events answered at once, octets out, no socket and no store.

Run: .venv/bin/python benchmarks/micro_smtp.py
Pass marks: an address <= 2 us; MAIL, RCPT, DATA and 4 KiB <= 25 us; 100 KiB <= 60 us.
"""

import json
import time
from collections.abc import Callable

from posthouse.message.address import Address
from posthouse.message.reply import Reply
from posthouse.protocol.smtp import events
from posthouse.protocol.smtp.server import SmtpServer, SmtpSettings

SETTINGS = SmtpSettings("mx.test")
ENVELOPE = b"MAIL FROM:<sender@client.test> SIZE=4096\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
KEPT = Reply(250, "2.0.0", "Kept")
READ = 64 << 10  # octets of one read from a socket


def best_us(call: Callable[[], object], times: int, rounds: int = 7) -> float:
    """Microseconds a call, in the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - start)
    return round(best / times * 1e6, 2)


def answer_all(engine: SmtpServer) -> bytes:
    """Say yes to everything; what the engine says."""
    while (event := engine.next_event()) is not None:
        kind = type(event)
        if kind is events.SenderOffered:
            engine.accept_sender()
        elif kind is events.RecipientOffered:
            engine.accept_recipient()
        elif kind is events.DataOffered:
            engine.accept_data()
        elif kind is events.MessageEnded:
            engine.accept_message(KEPT)
    return engine.data_to_send()


def greeted() -> SmtpServer:
    """An engine that waits for MAIL."""
    engine = SmtpServer(SETTINGS, nonce=lambda: "nonce")
    engine.receive_data(b"EHLO client.test\r\n")
    answer_all(engine)
    return engine


def message(octets: int, line: bytes) -> Callable[[], object]:
    """A transaction of so many octets, `line` by `line`, over one connection."""
    engine = greeted()
    content = b"Subject: x\r\n\r\n" + line * (octets // len(line)) + b".\r\n"
    reads = [content[at : at + READ] for at in range(0, len(content), READ)]

    def send() -> None:
        engine.receive_data(ENVELOPE)
        answer_all(engine)
        for read in reads:
            engine.receive_data(read)
            answered = answer_all(engine)
        assert answered.startswith(b"250 ")

    return send


def main() -> None:
    """Print the figures as JSON."""
    text, dots = b"x" * 74 + b"\r\n", b".." + b"x" * 72 + b"\r\n"
    print(
        json.dumps(
            {
                "address_us": best_us(lambda: Address.parse("first.last+tag@mail.example.com"), 20_000),
                "connection_us": best_us(greeted, 2000),
                "message_4k_us": best_us(message(4096, text), 1000),
                "message_4k_all_dots_us": best_us(message(4096, dots), 1000),
                "message_100k_us": best_us(message(100 << 10, text), 200),
                "message_100k_all_dots_us": best_us(message(100 << 10, dots), 100),
                "message_10m_us": best_us(message(10 << 20, text), 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
