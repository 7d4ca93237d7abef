"""IMAP on one connection: a mailbox is filled, then opened, read, marked and searched. Each answer is checked."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.connection import BenchError
from benchmarks.corpus import SUBJECT_WORD, TEXT_WORD, Corpus, Sample
from benchmarks.imap_client import ImapClient
from benchmarks.target import NAMES, Target

USER = NAMES[20]
SYNC_BATCH = 50
Results = dict[str, float]


def require(true: bool, what: str, client: ImapClient) -> None:
    """A quick wrong answer is no result."""
    if not true:
        raise BenchError(f"wrong answer to {what}: {client.answer()[:100]!r} ... {client.answer()[-200:]!r}")


def clocked(client: ImapClient, command: bytes, times: int = 1) -> float:
    """Milliseconds that one of `times` takes, in the mean."""
    began = time.perf_counter()
    for _ in range(times):
        client.run(command)
    return (time.perf_counter() - began) * 1000 / times


def parts_of(word: str) -> list[str]:
    """Eleven, of six letters or more, each with the word's q: none is found elsewhere."""
    return [word[a:b] for a in range(4) for b in range(len(word) - 2, len(word) + 1) if word[a:b] != word]


@dataclass(frozen=True)
class Filled:
    """A mailbox and what it must hold."""

    target: Target
    name: bytes
    samples: list[Sample]

    @property
    def count(self) -> int:
        return len(self.samples)

    def session(self) -> ImapClient:
        return ImapClient(self.target.imap, USER)

    def select(self, client: ImapClient) -> float:
        took = clocked(client, b"SELECT " + self.name)
        require(b"* %d EXISTS" % self.count in client.answer(), "SELECT", client)
        return took

    def with_word(self, of_sample: Callable[[Sample], bool]) -> list[int]:
        return [number for number, sample in enumerate(self.samples, 1) if of_sample(sample)]


@contextmanager
def filled(target: Target, count: int, octets: int) -> Iterator[Filled]:
    """A new mailbox with messages that differ, deleted at the end."""
    mailbox = Filled(target, f"Bench{time.time_ns()}".encode(), list(Corpus().samples(count, octets)))
    with mailbox.session() as client:
        client.run(b"CREATE " + mailbox.name)
        client.append_all(mailbox.name, (sample.octets for sample in mailbox.samples))
        yield mailbox
        client.run(b"DELETE " + mailbox.name)


def read(target: Target, count: int, octets: int) -> Results:
    """All of it, on one mailbox: what is cold comes first."""
    results: Results = {}
    with filled(target, count, octets) as mailbox, mailbox.session() as client:
        results |= _open(mailbox, client)
        results |= _headers(mailbox, client)
        results |= _search(mailbox, client)
        results |= _flags(mailbox, client)
        results |= _bodies(mailbox, client)
        results |= _store(mailbox, client)
        results["imap-noop"] = 1000 / clocked(client, b"NOOP", 3000)
        client.run(b"LOGOUT")
        results["imap-sync"] = _sync(mailbox)
    return results


def _open(mailbox: Filled, client: ImapClient) -> Results:
    first = mailbox.select(client)
    again = 0.0
    times = 20
    for _ in range(times):
        client.run(b"CLOSE")
        again += mailbox.select(client) / times
    return {"imap-select-first": first, "imap-select": again}


def _headers(mailbox: Filled, client: ImapClient) -> Results:
    command = b"FETCH 1:* (ENVELOPE FLAGS)"
    subjects = len(mailbox.with_word(lambda sample: sample.has_subject_word))

    def check() -> None:
        answer = client.answer()
        seen = answer.count(b"ENVELOPE (") == mailbox.count and answer.count(SUBJECT_WORD.encode()) == subjects
        require(seen and answer.count(b"FLAGS (") == mailbox.count, "FETCH ENVELOPE", client)

    cold = clocked(client, command)
    check()
    again = clocked(client, command, 10)
    check()
    return {"imap-envelope-cold": cold, "imap-envelope": again}


def _search(mailbox: Filled, client: ImapClient) -> Results:
    """Parts of words are looked for, so that no answer can be remembered from the last question."""

    def each(key: str, word: str, wanted: list[int]) -> float:
        client.run(f"SEARCH {key} {word}".encode())  # an index may still be behind
        parts, took = parts_of(word), 0.0
        for part in parts:
            took += clocked(client, f"SEARCH {key} {part}".encode())
            require(client.numbers() == wanted, f"SEARCH {key} {part}", client)
        return took / len(parts)

    return {
        "imap-search-text": each("TEXT", TEXT_WORD, mailbox.with_word(lambda sample: sample.has_text_word)),
        "imap-search-subject": each("SUBJECT", SUBJECT_WORD, mailbox.with_word(lambda sample: sample.has_subject_word)),
    }


def _flags(mailbox: Filled, client: ImapClient) -> Results:
    took = clocked(client, b"FETCH 1:* FLAGS", 100)
    require(client.answer().count(b" FETCH (FLAGS (") == mailbox.count, "FETCH FLAGS", client)
    return {"imap-flags": took}


def _bodies(mailbox: Filled, client: ImapClient) -> Results:
    wanted = [sample.octets for sample in mailbox.samples]
    times = 5
    took = clocked(client, b"UID FETCH 1:* BODY.PEEK[]", times)
    require(client.bodies() == wanted, "UID FETCH BODY.PEEK[]", client)
    answers = []
    began = time.perf_counter()
    for number in range(1, mailbox.count + 1):
        client.run(b"FETCH %d BODY.PEEK[]" % number)
        answers.append(client.answer())
    alone = time.perf_counter() - began
    right = all(octets in answer for octets, answer in zip(wanted, answers, strict=True))
    require(right, "FETCH BODY.PEEK[], one by one", client)
    return {"imap-bodies": mailbox.count * 1000 / took, "imap-single": mailbox.count / alone}


def _store(mailbox: Filled, client: ImapClient) -> Results:
    took, times = 0.0, 10
    for turn in range(times):
        sign, seen = (b"+", mailbox.count) if turn % 2 == 0 else (b"-", 0)
        took += clocked(client, b"STORE 1:* %bFLAGS (\\Seen)" % sign) / times
        answer = client.answer()
        right = answer.count(b" FETCH (") == mailbox.count and answer.count(b"\\Seen") == seen
        require(right, "STORE 1:*", client)
    numbers = range(1, min(500, mailbox.count) + 1)
    began = time.perf_counter()
    for number in numbers:
        client.run(b"STORE %d +FLAGS (\\Flagged)" % number)
    alone = time.perf_counter() - began
    client.run(b"SEARCH FLAGGED")
    require(client.numbers() == list(numbers), "STORE, one by one", client)
    return {"imap-store-all": took, "imap-store-single": len(numbers) / alone}


def _sync(mailbox: Filled) -> float:
    """Messages a second of a client that fetches a whole mailbox for the first time, from its login to its logout."""
    bodies: list[bytes] = []
    began = time.perf_counter()
    with mailbox.session() as client:
        client.run(b"SELECT " + mailbox.name)
        client.run(b"UID SEARCH ALL")
        uids = client.numbers()
        client.run(b"UID FETCH 1:* (UID FLAGS RFC822.SIZE)")
        require(client.answer().count(b"RFC822.SIZE ") == mailbox.count, "UID FETCH RFC822.SIZE", client)
        for start in range(0, len(uids), SYNC_BATCH):
            client.run(b"UID FETCH %d:%d BODY.PEEK[]" % (uids[start], uids[min(start + SYNC_BATCH, len(uids)) - 1]))
            bodies += client.bodies()
        client.run(b"LOGOUT")
        took = time.perf_counter() - began
        require(bodies == [sample.octets for sample in mailbox.samples], "the sync", client)
    return mailbox.count / took
