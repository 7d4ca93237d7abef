"""`make bench-large`: a mailbox of 200,000 messages is filled, opened, fetched, searched, sorted and threaded."""

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import memory, report
from benchmarks.connection import BenchError
from benchmarks.corpus import SUBJECT_EACH, SUBJECT_WORD, TEXT_EACH, TEXT_WORD, Corpus
from benchmarks.imap_client import ImapClient
from benchmarks.imap_reading import clocked, parts_of, require
from benchmarks.target import NAMES, PEER, Posthouse, Target, parse_peer

NAME, MAILBOX, OCTETS = NAMES[0], b"Large", 600
STEP = 20_000  # messages between two lines of progress


@dataclass
class Findings:
    """What was measured, in order: (title, value, unit)."""

    label: str
    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def add(self, title: str, value: float, unit: str = "ms") -> None:
        self.rows.append((title, value, unit))
        print(f"{self.label:24} {title:52} {report.number(value):>10} {unit}", file=sys.stderr, flush=True)


@contextmanager
def most_held(target: Target) -> Iterator[Callable[[], float]]:
    """How much the server's memory has grown at most since the beginning, in MiB; 0 where that is not known."""
    roots, ended, most = target.roots(), threading.Event(), [0.0]
    before = memory.held(roots)

    def look() -> None:
        while not ended.wait(0.02):
            most[0] = max(most[0], memory.held(roots) - before)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield lambda: max(most[0], memory.held(roots) - before)
    finally:
        ended.set()
        looking.join()


def fill(target: Target, found: Findings, messages: int) -> None:
    """As fast as one connection goes."""

    def told() -> Iterator[bytes]:
        for number, sample in enumerate(Corpus().samples(messages, OCTETS)):
            if number and number % STEP == 0:
                print(f"{found.label:24} {number:,} sent", file=sys.stderr, flush=True)
            yield sample.octets

    with ImapClient(target.imap, NAME) as client:
        client.run(b"CREATE " + MAILBOX)
        began = time.perf_counter()
        client.append_all(MAILBOX, told())
        found.add("filled", messages / (time.perf_counter() - began), "msg/s")
        began = time.perf_counter()
        client.run(b"SELECT " + MAILBOX)
        client.run(f"SEARCH TEXT {TEXT_WORD}".encode())
        found.add("the first SEARCH TEXT, which waits for an index", time.perf_counter() - began, "s")


def opened(target: Target, found: Findings, messages: int) -> None:
    """SELECT and FETCH of all flags, with what they cost in memory."""
    with ImapClient(target.imap, NAME) as client, most_held(target) as grown:
        found.add("SELECT by a new session", clocked(client, b"SELECT " + MAILBOX))
        require(b"* %d EXISTS" % messages in client.answer(), "SELECT", client)
        again = 0.0
        for _ in range(5):
            client.run(b"CLOSE")
            again += clocked(client, b"SELECT " + MAILBOX) / 5
        found.add("SELECT again", again)
        found.add("FETCH 1:* FLAGS", clocked(client, b"FETCH 1:* FLAGS"))
        require(client.answer().count(b" FETCH (FLAGS (") == messages, "FETCH FLAGS", client)
        found.add("FETCH 1:* FLAGS again", clocked(client, b"FETCH 1:* FLAGS"))
        found.add("memory the server took for these, at most", grown(), "MiB")
    with ImapClient(target.imap, NAME) as client, most_held(target) as grown:
        client.run(b"SELECT " + MAILBOX)
        found.add("FETCH 1:* (ENVELOPE FLAGS)", clocked(client, b"FETCH 1:* (ENVELOPE FLAGS)"))
        require(client.answer().count(b"ENVELOPE (") == messages, "FETCH ENVELOPE", client)
        found.add("memory the server took for that, at most", grown(), "MiB")


def searched(target: Target, found: Findings, messages: int) -> None:
    """SEARCH, SORT and THREAD over all."""
    texts = [number for number in range(1, messages + 1) if (number - 1) % TEXT_EACH == 5]
    subjects = [number for number in range(1, messages + 1) if (number - 1) % SUBJECT_EACH == 3]
    everyone = list(range(1, messages + 1))
    with ImapClient(target.imap, NAME) as client, most_held(target) as grown:
        client.run(b"SELECT " + MAILBOX)
        for key, word, wanted in (("TEXT", TEXT_WORD, texts), ("SUBJECT", SUBJECT_WORD, subjects)):
            found.add(f"SEARCH {key}, a part of a word in {len(wanted):,}", _search(client, key, word, wanted))
        found.add("SEARCH TEXT, a word in none", _search(client, "TEXT", "quizzaciously", []))
        found.add("SEARCH TEXT, a word in all", clocked(client, b"SEARCH TEXT example"))
        require(client.numbers() == everyone, "SEARCH TEXT example", client)
        client.run(b"STORE 1:%d +FLAGS.SILENT (\\Seen)" % (messages // 2))
        found.add("SEARCH UNSEEN", clocked(client, b"SEARCH UNSEEN"))
        require(client.numbers() == everyone[messages // 2 :], "SEARCH UNSEEN", client)
        for keys in (b"DATE", b"SUBJECT"):
            for turn in ("", " again"):
                found.add(f"SORT ({keys.decode()}){turn}", clocked(client, b"SORT (%b) UTF-8 ALL" % keys))
                require(sorted(_listed(client, b"SORT")) == everyone, "SORT", client)
        for turn in ("", " again"):
            found.add(f"THREAD=REFERENCES{turn}", clocked(client, b"THREAD REFERENCES UTF-8 ALL"))
            require(sorted(_listed(client, b"THREAD")) == everyone, "THREAD", client)
        found.add("memory the server took for these, at most", grown(), "MiB")


def _search(client: ImapClient, key: str, word: str, wanted: list[int]) -> float:
    parts, took = parts_of(word), 0.0
    for part in parts:
        took += clocked(client, f"SEARCH {key} {part}".encode())
        require(client.numbers() == wanted, f"SEARCH {key} {part}", client)
    return took / len(parts)


def _listed(client: ImapClient, what: bytes) -> list[int]:
    line = next(line for line in client.answer().split(b"\r\n") if line.startswith(b"* " + what))
    return [int(each) for each in re.findall(rb"\d+", line)]


def measure(target: Target, messages: int) -> Findings:
    """All of it."""
    found = Findings(target.label)
    fill(target, found, messages)
    opened(target, found, messages)
    searched(target, found, messages)
    return found


def as_table(all_found: list[Findings]) -> str:
    """Markdown."""
    lines = [
        f"| work | unit | {' | '.join(each.label for each in all_found)} |",
        "| --- | --- |" + " ---: |" * len(all_found),
    ]
    for number, (title, _, unit) in enumerate(all_found[0].rows):
        lines.append(f"| {title} | {unit} | {' | '.join(report.number(each.rows[number][1]) for each in all_found)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write JSON; 1 when a server could not do the work."""
    parser = argparse.ArgumentParser(prog="make bench-large ARGS=...", description=__doc__, allow_abbrev=False)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=0, help="worker processes of Posthouse (0: its default)")
    parser.add_argument("--peer", metavar=PEER, help="measure this server, too")
    parser.add_argument("--label", default="peer", help="its name in the table")
    parser.add_argument("--peer-roots", default="", metavar="COMMAND", help="prints its process ids, to weigh it")
    parser.add_argument("--data", type=Path, help="where Posthouse's data folder is made (default: a temporary folder)")
    parser.add_argument("--out", type=Path, default=Path("docs/bench/large.json"), help="where the figures go")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posthouse-bench-", dir=asked.data) as folder:
        ours = Posthouse(Path(folder), asked.workers)
        try:
            targets: list[Target] = [ours]
            if asked.peer:
                targets.append(parse_peer(asked.peer, asked.label, {"roots_command": asked.peer_roots}))
            ours.prepare()
            ours.start()
            all_found = [measure(target, asked.messages) for target in targets]
        except (BenchError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            print((ours.folder / "log").read_text()[-2000:] if (ours.folder / "log").exists() else "", file=sys.stderr)
            return 1
        finally:
            ours.stop()
    data = {
        "messages": asked.messages,
        "commit": report.commit(),
        "machine": report.machine(),
        "found": {each.label: each.rows for each in all_found},
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(data, indent=1) + "\n")
    print(as_table(all_found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
