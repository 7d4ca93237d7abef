"""What the POP3 engine costs by itself: octets in, events answered at once, octets out, no socket and no store.

Run: .venv/bin/python benchmarks/micro_pop3.py
Pass marks: STAT <= 4 us; RETR of 4 KiB <= 8 us; LIST of 200,000 messages <= 100 ms, in pieces below 128 KiB.
"""

import json
import time
from collections.abc import Callable

from posthouse.protocol.events import PasswordOffered
from posthouse.protocol.pop3.events import MaildropContents, MessageWanted, QuitOffered
from posthouse.protocol.pop3.server import Pop3Server, Pop3Settings

SETTINGS = Pop3Settings("pop.test", plaintext_auth=True)
LOGIN = b"USER alice\r\nPASS secret\r\n"
LARGE = MaildropContents([4096] * 200_000, [f"1f.{number:x}" for number in range(200_000)])
SMALL = MaildropContents([4096] * 25, [f"1f.{number:x}" for number in range(25)])
READ = 64 << 10  # octets of one read from the store


def best_us(call: Callable[[], object], times: int, rounds: int = 7) -> float:
    """Microseconds a call, in the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - start)
    return round(best / times * 1e6, 2)


def content(octets: int, line: bytes) -> list[bytes]:
    """A message of about so many octets, as the store reads it."""
    whole = b"Subject: x\r\n\r\n" + line * (octets // len(line))
    return [whole[at : at + READ] for at in range(0, len(whole), READ)]


PLAIN = content(4096, b"x" * 70 + b"\r\n")
NO_CONTENT = [b"\r\n"]


def answer_all(engine: Pop3Server, drop: MaildropContents, message: list[bytes], has_leading_dots: bool) -> int:
    """Say yes to everything; the largest piece the engine gave out."""
    largest = 0
    while True:
        while (event := engine.next_event()) is not None:
            kind = type(event)
            if kind is MessageWanted:
                engine.begin_message(4096, has_leading_dots, False)
                for piece in message:
                    if not engine.send_chunk(piece):
                        break
                engine.end_message()
            elif kind is PasswordOffered:
                engine.accept_login(drop)
            elif kind is QuitOffered:
                engine.accept_quit()
        said = engine.data_to_send()
        if not said:
            return largest
        largest = max(largest, len(said))


def command(
    line: bytes, drop: MaildropContents = SMALL, message: list[bytes] = NO_CONTENT, has_leading_dots: bool = False
) -> Callable[[], int]:
    """One command and its answer, over and over on one connection."""
    engine = Pop3Server(SETTINGS, nonce=lambda: "nonce")
    engine.receive_data(LOGIN)
    answer_all(engine, drop, message, has_leading_dots)

    def call() -> int:
        engine.receive_data(line)
        return answer_all(engine, drop, message, has_leading_dots)

    return call


def session() -> None:
    """Login, UIDL, 25 messages, QUIT, each command by itself."""
    engine = Pop3Server(SETTINGS, nonce=lambda: "nonce")
    for line in (b"USER alice\r\n", b"PASS secret\r\n", b"UIDL\r\n", *RETRIEVALS, b"QUIT\r\n"):
        engine.receive_data(line)
        answer_all(engine, SMALL, PLAIN, False)


RETRIEVALS = [b"RETR %d\r\n" % number for number in range(1, 26)]


def main() -> None:
    """Print the figures as JSON, in microseconds."""
    dotted = content(100 << 10, b"." + b"x" * 69 + b"\r\n")
    listing = command(b"LIST\r\n", LARGE)
    figures = {
        "STAT": best_us(command(b"STAT\r\n"), 20_000),
        "NOOP, 100 pipelined, each": round(best_us(command(b"NOOP\r\n" * 100), 200) / 100, 2),
        "RETR of 4 KiB": best_us(command(b"RETR 1\r\n", message=PLAIN), 20_000),
        "RETR of 100 KiB": best_us(command(b"RETR 1\r\n", message=content(100 << 10, b"x" * 70 + b"\r\n")), 2000),
        "RETR of 100 KiB, each line stuffed": best_us(
            command(b"RETR 1\r\n", message=dotted, has_leading_dots=True), 500
        ),
        "TOP 1 0": best_us(command(b"TOP 1 0\r\n", message=PLAIN), 20_000),
        "UIDL of 25": best_us(command(b"UIDL\r\n"), 5000),
        "LIST of 200,000": best_us(listing, 1, 5),
        "LIST of 200,000, largest piece, octets": listing(),
        "UIDL of 200,000": best_us(command(b"UIDL\r\n", LARGE), 1, 5),
        "session: login, UIDL, RETR 25 x 4 KiB, QUIT": best_us(session, 300),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
