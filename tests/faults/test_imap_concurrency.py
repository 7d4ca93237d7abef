"""Many clients on one mailbox of a server with two workers, each trying all it is told against what it was told before.

Each client is a thread with a session of its own: rev1, rev2, CONDSTORE, QRESYNC, compressed. It draws commands by
chance, from a seed that is printed: POSTHOUSE_SEED=n draws the same again (the threads still meet as they like).
Messages carry a key. The odd ones are mortal: only they are ever marked as deleted, so an even one that goes missing
was hit by a wrong sequence number. At the end all is quiet, and
- what each client believes of flags, uids and numbers is what the server says when asked for everything;
- each message is in one place, and in one more for each copy that was acknowledged.
POSTHOUSE_LONG=1 goes on for two minutes.
"""

import os
import random
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.imap_model import Known, Model, Registry, ViewError
from tests.outside.imap_wire import Answer, ImapError, ImapWire, numbers, quoted
from tests.outside.served import Served, served

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
SECONDS = 120.0 if LONG else 8.0
CLIENTS = 20
BOXES = ("INBOX", "Other")
USER = "alice@example.test"
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "$Label1", "Project-X")
ENOUGH = 120  # messages in a mailbox, from which on more goes than comes


@dataclass
class Ledger:
    """What was acknowledged, by all clients together."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0
    kept: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    copies: list[tuple[str, int, str, int, str]] = field(default_factory=list)  # from where, to where, COPY or MOVE

    def next_key(self) -> str:
        with self.lock:
            self.last += 1
            return f"k{self.last}"


def is_mortal(key: str) -> bool:
    return int(key[1:]) % 2 == 1


def message(key: str) -> bytes:
    return b"X-Key: %b\r\nSubject: %b\r\n\r\n%b\r\n" % (key.encode(), key.encode(), b"x" * (int(key[1:]) * 37 % 3000))


@dataclass
class Memory:
    """What a QRESYNC client remembers of a mailbox when it leaves."""

    uidvalidity: int
    modseq: int
    flags: dict[int, frozenset[str]]


class Client(threading.Thread):
    """One session that does as chance will have it."""

    def __init__(self, port: int, number: int, seed: int, registry: Registry, ledger: Ledger) -> None:
        super().__init__(name=f"client {number}")
        self.random = random.Random(f"{seed}/{number}")
        self.kind = ("rev1", "qresync", "rev2", "compressed", "condstore")[number % 5]
        self.model = Model(registry)
        self.registry, self.ledger = registry, ledger
        self.fault: BaseException | None = None
        self.stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.trace: list[str] = []
        self.memory: dict[str, Memory] = {}
        self.uidvalidity = 0
        self.port = port
        self.connect()

    def connect(self) -> None:
        self.wire = ImapWire.open(self.port, USER)
        enabled = {"qresync": b"QRESYNC", "rev2": b"IMAP4rev2", "condstore": b"CONDSTORE"}.get(self.kind)
        if enabled:
            self.wire.ok(b"ENABLE " + enabled)
        if self.kind == "compressed":
            self.wire.compress()

    def run(self) -> None:
        try:
            self.open(self.random.choice(BOXES))
            while not self.stop.is_set():
                act, _ = self.random.choices(_ACTS, [weight for _, weight in _ACTS])[0]
                self.take_unasked()
                act(self)
                self.done[act.__name__] += 1
        except BaseException as fault:
            self.fault = fault

    # Talking.

    def give(self, command: bytes, during: str) -> Answer:
        """A command, and what it tells is taken up; it may fail with NO, where others were faster."""
        (answer,) = self.pipeline((command, during))
        return answer

    def pipeline(self, *commands: tuple[bytes, str]) -> list[Answer]:
        """Several commands in one write."""
        self.take_unasked()
        tags = [self.wire.tag() for _ in commands]
        for tag, (command, _) in zip(tags, commands, strict=True):
            self.note(f"> {tag.decode()} {command[:150]!r}")
        self.wire.send(b"".join(b"%b %b\r\n" % (tag, text) for tag, (text, _) in zip(tags, commands, strict=True)))
        answers = []
        for tag, (command, during) in zip(tags, commands, strict=True):
            answer = self.wire.finish(tag)
            if during != "SELECT":
                self.take(answer.untagged, during)
                if answer.code == "HIGHESTMODSEQ" and during != "CLOSE":
                    self.model.modseq = int(answer.argument("HIGHESTMODSEQ"))
            self.note(f"< {answer.status} {answer.text[:100]!r}")
            if answer.status not in ("OK", "NO"):
                raise ImapError(f"{command[:200]!r} -> {answer}")
            answers.append(answer)
        return answers

    def take(self, untagged: list[bytes], during: str) -> None:
        for line in untagged:
            self.note(f"< {line[:150]!r}")
            self.model.take(line, during)

    def take_unasked(self) -> None:
        """Nothing that came between two commands may shrink the mailbox."""
        while self.wire.has_come():
            self.take([self.wire.response()], "")

    def note(self, line: str) -> None:
        self.trace.append(line)
        if len(self.trace) > 4000:
            del self.trace[:2000]

    # Opening and leaving.

    def open(self, mailbox: str) -> None:
        """SELECT; who remembers something asks for the difference."""
        old = self.memory.get(mailbox) if self.kind == "qresync" else None
        parameter = b""
        if old and old.flags:
            known = ",".join(map(str, sorted(old.flags)))
            parameter = f" (QRESYNC ({old.uidvalidity} {old.modseq} {known}))".encode()
        self.model.select(mailbox)
        answer = self.give(b"SELECT %b%b" % (quoted(mailbox), parameter), "SELECT")
        assert answer.status == "OK", answer
        closed = [at for at, line in enumerate(answer.untagged) if b"[CLOSED]" in line]
        lines = answer.untagged[closed[-1] + 1 :] if closed else answer.untagged
        self.take(lines, "SELECT")
        self.uidvalidity = int(answer.argument("UIDVALIDITY"))
        self.model.opened(int(answer.argument("HIGHESTMODSEQ")))
        assert len(self.model.messages) < int(answer.argument("UIDNEXT"))
        gone = {int(uid) for line in lines if line.startswith(b"* VANISHED") for uid in _vanished(line)}
        changed = {known.uid: known.flags for known in self.model.messages if known.uid and known.flags is not None}
        answers = self.ask_for_all()
        if parameter and old:
            self.check_difference(old, gone, changed, answers)

    def ask_for_all(self) -> list[bytes]:
        if not self.model.messages:
            return []
        items = b"UID FLAGS MODSEQ" if self.kind == "qresync" else b"UID FLAGS"
        return self.give(b"FETCH 1:* (%b)" % items, "FETCH").untagged

    def check_difference(
        self, old: Memory, gone: set[int], changed: dict[int, frozenset[str]], answers: list[bytes]
    ) -> None:
        """What was remembered, and what SELECT told, make what is. (A second answer for a message is later news.)"""
        now: dict[int, frozenset[str]] = {}
        for line in answers:
            if found := _UID_FLAGS.search(line):
                now.setdefault(int(found.group(1)), frozenset(found.group(2).decode().split()))
        for uid, flags in old.flags.items():
            if uid in gone:
                if uid in now:
                    raise ViewError(f"{uid} VANISHED since modseq {old.modseq}, and is there")
            elif uid not in now:
                raise ViewError(f"{uid} is gone since modseq {old.modseq}, which SELECT did not tell")
            elif changed.get(uid, flags) != now[uid]:
                raise ViewError(f"flags of {uid} were {flags}, told {changed.get(uid)}, are {now[uid]}")

    def leave_and_return(self) -> None:
        how = self.random.choice([b"CLOSE", b"UNSELECT", b""])
        mailbox = self.model.mailbox
        self.memory.pop(mailbox, None)
        if self.kind == "qresync":
            self.give(b"NOOP", "NOOP")
            self.remember()
        if how == b"CLOSE":
            answer = self.give(how, "CLOSE")
            kept = self.memory.get(mailbox)
            if kept and answer.argument("HIGHESTMODSEQ"):
                kept.modseq = int(answer.argument("HIGHESTMODSEQ"))
                kept.flags = {uid: flags for uid, flags in kept.flags.items() if "\\Deleted" not in flags}
        elif how:
            self.give(how, "UNSELECT")
        self.open(self.random.choice([mailbox, *BOXES]))

    def drop(self) -> None:
        """Lose the connection, and come back with what is known at that moment (RFC 7162 3.2.5)."""
        if self.kind == "qresync":
            mailbox = self.model.mailbox
            self.remember()
            self.wire.close()
            self.connect()
            self.open(mailbox)

    def remember(self) -> None:
        flags = {known.uid: known.flags for known in self.model.messages if known.uid and known.flags is not None}
        self.memory[self.model.mailbox] = Memory(self.uidvalidity, self.model.modseq, flags)

    # Choosing.

    def some(self, at_most: int = 6) -> list[int]:
        """Sequence numbers, ascending; none in an empty mailbox."""
        count = len(self.model.messages)
        return sorted(self.random.sample(range(1, count + 1), min(count, self.random.randint(1, at_most))))

    def mortals(self) -> list[int]:
        """Sequence numbers of messages that may be deleted."""
        found = []
        for number, known in enumerate(self.model.messages, 1):
            key = self.registry.key(self.model.mailbox, known.uid)
            if key and is_mortal(key):
                found.append(number)
        return self.random.sample(found, min(len(found), self.random.randint(1, 5)))

    def doom(self, chosen: list[int]) -> None:
        with self.ledger.lock:
            for number in chosen:
                self.ledger.doomed.add(self.registry.key(self.model.mailbox, self.model.messages[number - 1].uid))

    def by_uid(self, chosen: list[int]) -> tuple[bytes, bytes]:
        """Numbers or uids as a set, by chance, and the word in front of the command."""
        known = [self.model.messages[number - 1].uid for number in chosen]
        if all(known) and self.random.random() < 0.5:
            return b"UID ", ",".join(map(str, known)).encode()
        return b"", ",".join(map(str, chosen)).encode()

    # Commands.

    def noop(self) -> None:
        self.give(self.random.choice([b"NOOP", b"CHECK"]), "NOOP")

    def append(self) -> None:
        mailbox = self.random.choice([self.model.mailbox, *BOXES])
        keys = [self.ledger.next_key() for _ in range(self.random.choice([1, 1, 1, 3]))]
        parts = []
        for key in keys:
            flags = self.random.sample(FLAGS, self.random.randint(0, 2))
            body = message(key)
            parts.append(b" (%b) {%d+}\r\n%b" % (" ".join(flags).encode(), len(body), body))
        answer = self.give(b"APPEND %b%b" % (quoted(mailbox), b"".join(parts)), "APPEND")
        assert answer.status == "OK", answer
        uids = numbers(answer.argument("APPENDUID").split()[1])
        assert len(uids) == len(keys)
        for uid, key in zip(uids, keys, strict=True):
            self.registry.note(mailbox, uid, key, "APPENDUID")
        with self.ledger.lock:
            self.ledger.kept.update(keys)

    def replace(self) -> None:
        """REPLACE: one comes and one goes, or neither (RFC 8508)."""
        chosen = self.mortals()[:1]
        if not chosen:
            return
        self.doom(chosen)
        word, named = self.by_uid(chosen)
        mailbox, key = self.random.choice(BOXES), self.ledger.next_key()
        command = b"%bREPLACE %b %b {%d+}\r\n%b" % (word, named, quoted(mailbox), len(message(key)), message(key))
        answer = self.give(command, f"{word.decode()}REPLACE")
        if answer.status == "OK":
            self.registry.note(mailbox, int(answer.argument("APPENDUID").split()[1]), key, "APPENDUID of REPLACE")
            with self.ledger.lock:
                self.ledger.kept.add(key)

    def fetch_keys(self) -> None:
        chosen = self.some(10)
        if chosen:
            word, named = self.by_uid(chosen)
            self.give(
                b"%bFETCH %b (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Key)])" % (word, named), f"{word.decode()}FETCH"
            )

    def fetch_flags(self) -> None:
        chosen = self.some(30)
        if chosen:
            word, named = self.by_uid(chosen)
            self.give(b"%bFETCH %b (FLAGS UID)" % (word, named), f"{word.decode()}FETCH")

    def fetch_new(self) -> None:
        """What was announced and not looked at."""
        unknown = [number for number, known in enumerate(self.model.messages, 1) if not known.uid]
        if unknown:
            self.give(b"FETCH %d:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Key)])" % unknown[0], "FETCH")

    def read_bodies(self) -> None:
        """Which sets \\Seen."""
        chosen = self.some(3)
        if chosen:
            word, named = self.by_uid(chosen)
            self.give(b"%bFETCH %b (UID BODY[TEXT]<0.10>)" % (word, named), f"{word.decode()}FETCH")

    def pipelined(self) -> None:
        one, other = self.some(5), self.some(5)
        if one and other:
            self.pipeline(
                (b"FETCH %b (UID)" % ",".join(map(str, one)).encode(), "FETCH"),
                (b"FETCH %b (UID FLAGS)" % ",".join(map(str, other)).encode(), "FETCH"),
                (b"STORE %b +FLAGS (\\Seen)" % ",".join(map(str, one)).encode(), "STORE"),
                (b"NOOP", "NOOP"),
            )

    def store(self) -> None:
        chosen = self.some()
        if not chosen:
            return
        word, named = self.by_uid(chosen)
        how, flags = self.random.choice(["+", "-", "-", ""]), self.random.sample(FLAGS, 2)
        if how == "" and any("\\Deleted" in (self.model.messages[n - 1].flags or {"\\Deleted"}) for n in chosen):
            how = "+"  # what is marked stays so
        self.change(word, named, chosen, how, flags)

    def mark_deleted(self) -> None:
        chosen = self.mortals()
        if chosen and (len(self.model.messages) > ENOUGH or self.random.random() < 0.4):
            self.doom(chosen)
            word, named = self.by_uid(sorted(chosen))
            self.change(word, named, chosen, "+", ["\\Deleted"])

    def change(self, word: bytes, named: bytes, chosen: list[int], how: str, flags: list[str]) -> None:
        silent = self.random.random() < 0.4
        known = [self.model.messages[number - 1] for number in chosen]
        told: dict[int, frozenset[str] | None] = {id(message): message.flags for message in known}
        for message in known:
            message.flags = None  # to see which are told
        command = f"{how}FLAGS{'.SILENT' if silent else ''} ({' '.join(flags)})"
        answer = self.give(b"%bSTORE %b %b" % (word, named, command.encode()), f"{word.decode()}STORE")
        for message in known:
            if message.flags is None:
                before = told[id(message)]
                message.flags = _applied(before, how, flags) if silent and answer.status == "OK" else before

    def expunge(self) -> None:
        self.give(b"EXPUNGE", "EXPUNGE")

    def expunge_some(self) -> None:
        uids = [message.uid for message in self.model.messages if message.uid and "\\Deleted" in (message.flags or ())]
        if uids:
            self.give(b"UID EXPUNGE " + ",".join(map(str, uids[:5])).encode(), "UID EXPUNGE")

    def copy(self) -> None:
        if len(self.model.messages) < ENOUGH:
            self.carry("COPY")

    def move(self) -> None:
        self.carry("MOVE")

    def carry(self, verb: str) -> None:
        chosen = self.some()
        if not chosen:
            return
        source, target = self.model.mailbox, self.random.choice(BOXES)
        word, named = self.by_uid(chosen)
        answer = self.give(b"%b%b %b %b" % (word, verb.encode(), named, quoted(target)), f"{word.decode()}{verb}")
        if answer.status == "NO" and verb == "COPY" and not word:
            assert answer.code == "EXPUNGEISSUED", answer
            return  # others have expunged some, and a copy is of all or of none
        assert answer.status == "OK", answer
        if not answer.argument("COPYUID"):
            return  # others were faster with all of them
        _, old, new = answer.argument("COPYUID").split()
        before, behind = numbers(old), numbers(new)
        assert len(before) == len(behind)
        for uid, copied in zip(before, behind, strict=True):
            if key := self.registry.key(source, uid):
                self.registry.note(target, copied, key, f"COPYUID of {verb}")
            with self.ledger.lock:
                self.ledger.copies.append((source, uid, target, copied, verb))

    def search(self) -> None:
        """SEARCH by uid gives the number that the client has for it, or nothing when it is gone."""
        uids = self.model.uids()
        if not uids:
            return
        uid = self.random.choice(uids)
        answer = self.give(b"SEARCH UID %d" % uid, "SEARCH")
        found = _found(answer)
        assert len(found) <= 1, f"SEARCH UID {uid} -> {found}"
        if found and self.model.messages[found[0] - 1].uid != uid:
            raise ViewError(f"SEARCH UID {uid} -> {found[0]}, which is {self.model.messages[found[0] - 1].uid}")

    def search_flags(self) -> None:
        key = self.random.choice([b"SEEN", b"UNFLAGGED", b"DELETED", b"KEYWORD Project-X", b"NOT ANSWERED", b"1:*"])
        count = len(self.model.messages)
        if count:
            found = _found(self.give(b"SEARCH " + key, "SEARCH"))
            assert all(1 <= number <= count for number in found), f"{found} of {count}"

    def idle(self) -> None:
        self.take_unasked()
        tag = self.wire.order(b"IDLE")
        self.note("> IDLE")
        while not (line := self.wire.response()).startswith(b"+"):
            assert line, "closed before IDLE"
            self.take([line], "IDLE")
        limit = time.monotonic() + self.random.uniform(0.0, 0.2)
        while (left := limit - time.monotonic()) > 0:
            if self.wire.has_come(left):
                self.take([self.wire.response()], "IDLE")
        self.wire.send(b"DONE\r\n")
        answer = self.wire.finish(tag)
        self.take(answer.untagged, "IDLE")
        assert answer.status == "OK", answer

    # The end.

    def settle(self) -> list[str]:
        """All is quiet: what this client believes, against what is told when it asks for everything."""
        self.give(b"NOOP", "NOOP")
        believed = [(message.uid, message.flags) for message in self.model.messages]
        self.model.messages = [Known() for _ in believed]
        self.ask_for_all()
        faults = []
        for number, ((uid, flags), true) in enumerate(zip(believed, self.model.messages, strict=True), 1):
            if uid and uid != true.uid:
                faults.append(f"{self.name} {self.kind}: {number} is {true.uid}, believed {uid}")
            elif flags is not None and flags != true.flags:
                faults.append(f"{self.name} {self.kind}: {true.uid} has {set(true.flags or ())}, believed {set(flags)}")
        return faults


_ACTS: list[tuple[Callable[[Client], None], int]] = [
    (Client.noop, 10),
    (Client.append, 12),
    (Client.replace, 4),
    (Client.fetch_keys, 8),
    (Client.fetch_flags, 8),
    (Client.fetch_new, 8),
    (Client.read_bodies, 3),
    (Client.pipelined, 5),
    (Client.store, 12),
    (Client.mark_deleted, 8),
    (Client.expunge, 5),
    (Client.expunge_some, 4),
    (Client.copy, 3),
    (Client.move, 6),
    (Client.search, 6),
    (Client.search_flags, 4),
    (Client.idle, 6),
    (Client.leave_and_return, 3),
    (Client.drop, 8),
]


def _applied(flags: frozenset[str] | None, how: str, named: list[str]) -> frozenset[str] | None:
    if how == "":
        return frozenset(named)
    if flags is None:
        return None
    return flags | set(named) if how == "+" else flags - set(named)


_UID_FLAGS = re.compile(rb"\(UID (\d+) FLAGS \(([^)]*)\)")


def _found(answer: Answer) -> list[int]:
    for line in answer.untagged:
        if line.startswith(b"* SEARCH"):
            return [int(word) for word in line.split()[2:]]
        if line.startswith(b"* ESEARCH") and b" ALL " in line:
            return numbers(line.rpartition(b" ALL ")[2].split()[0].decode())
    return []


def _vanished(line: bytes) -> list[int]:
    return numbers(line.split()[-1].decode())


def everything(port: int, registry: Registry) -> Counter[str]:
    """How often each key is there, by a session that knows nothing."""
    found: Counter[str] = Counter()
    for mailbox in BOXES:
        with ImapWire.open(port, USER) as wire:
            wire.ok(b"EXAMINE " + quoted(mailbox))
            model = Model(registry)
            model.select(mailbox)
            answer = wire.ok(b"UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Key)])")
            model.messages = [Known() for _ in answer.untagged]
            for line in answer.untagged:
                model.take(line, "UID FETCH")
            found.update(registry.key(mailbox, uid) for uid in model.uids())
    return found


def test_twenty_clients_agree(tmp_path: Path) -> None:
    seed = int(os.environ.get("POSTHOUSE_SEED") or random.randrange(1 << 30))
    print(f"POSTHOUSE_SEED={seed}")
    registry, ledger = Registry(), Ledger()
    with served(tmp_path, ["alice"]) as server:
        with ImapWire.open(server.imap, USER) as wire:
            wire.ok(b"CREATE Other")
        clients = [Client(server.imap, number, seed, registry, ledger) for number in range(CLIENTS)]
        spread = Counter(server.worker_of(client.wire) for client in clients)
        assert len(spread) == 2, f"all connections are of one worker: {spread}"
        for client in clients:
            client.start()
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit and all(client.is_alive() for client in clients):
            time.sleep(0.05)
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(30)
        for client in clients:
            assert not client.is_alive(), f"{client.name} hangs\n" + "\n".join(client.trace[-20:])
            if client.fault is not None:
                (tmp_path / "trace").write_text("\n".join(client.trace))
                trace = "\n".join(client.trace[-30:])
                raise AssertionError(f"{client.name} ({client.kind}), seed {seed}:\n{trace}\n{client.fault!r}")
        faults = [fault for client in clients for fault in client.settle()]
        found = everything(server.imap, registry)
        acts: Counter[str] = Counter()
        for client in clients:
            acts.update(client.done)
            client.wire.close()
        print(f"{acts.total()} commands: {dict(acts)}")
        print(f"{sum(client.model.told for client in clients)} answers tried, {len(ledger.kept)} messages,")
        carried = Counter(verb for *_, verb in ledger.copies)
        print(f"{dict(carried)}, {len(ledger.doomed)} doomed, {found.total()} left")
        assert faults == []
        assert misplaced(ledger, registry, found) == []
        assert registry.faults == []
        assert acts.total() > 20 * CLIENTS, "too little happened to say anything"
        assert "error" not in server.run("fsck")


def misplaced(ledger: Ledger, registry: Registry, found: Counter[str]) -> list[str]:
    """Which messages are in fewer or more places than was acknowledged."""
    copies: Counter[str] = Counter()
    for source, uid, target, copied, verb in named(ledger, registry):
        copies[registry.key(source, uid) or registry.key(target, copied)] += verb == "COPY"
    faults = [f"{key} was never kept" for key in found.keys() - ledger.kept]
    for key in ledger.kept:
        most = 1 + copies[key]
        if found[key] > most or (found[key] < most and key not in ledger.doomed):
            faults.append(f"{key} is there {found[key]} times, not {most}")
    return faults


def named(ledger: Ledger, registry: Registry) -> list[tuple[str, int, str, int, str]]:
    """The copies, once each end of them has told the other what it is; some had never been looked at when copied."""
    last = -1
    while (known := registry.known) != last:
        last = known
        for source, uid, target, copied, verb in ledger.copies:
            here, there = registry.key(source, uid), registry.key(target, copied)
            if here or there:
                registry.note(source, uid, there or here, f"COPYUID of {verb}")
                registry.note(target, copied, here or there, f"COPYUID of {verb}")
    return ledger.copies


def test_idle_hears_of_the_other_worker(tmp_path: Path) -> None:
    """What one worker keeps, a session of the other one is told of while it idles; how soon is printed."""
    rounds = 400 if LONG else 60
    with served(tmp_path, ["alice"]) as server:
        ears, mouth = apart(server)
        tag = ears.order(b"IDLE")
        ears.wait_for_word()
        from_sending, from_ok = [], []
        for number in range(1, rounds + 1):
            began = time.monotonic()
            kept = mouth.append("INBOX", b"Subject: %d\r\n\r\nx\r\n" % number)
            said = time.monotonic()
            assert kept.status == "OK", kept
            until(ears, b"* %d EXISTS" % number)
            heard = time.monotonic()
            from_sending.append(heard - began)
            from_ok.append(heard - said)
        for number in range(1, rounds + 1):
            mouth.ok(b"STORE %d +FLAGS.SILENT (\\Flagged)" % number)
            assert b"\\Flagged" in until(ears, b"* %d FETCH" % number)
        mouth.ok(b"MOVE 1:* Trash")
        for _ in range(rounds):
            until(ears, b"EXPUNGE")
        ears.send(b"DONE\r\n")
        assert ears.finish(tag).status == "OK"
        ears.close()
        mouth.close()
        print(f"IDLE, other worker, from APPEND: {centiles(from_sending)}; from its OK: {centiles(from_ok)}")
        assert max(from_sending) < 5.0


def test_a_change_is_seen_by_noop_at_the_other_worker(tmp_path: Path) -> None:
    """Acknowledged means seen: the next NOOP anywhere tells of it, without waiting for the bus."""
    with served(tmp_path, ["alice"]) as server:
        one, other = apart(server)
        for number in range(1, 51):
            one.append("INBOX", b"Subject: %d\r\n\r\nx\r\n" % number)
            assert b"* %d EXISTS" % number in other.ok(b"NOOP").untagged
            one.ok(b"NOOP")
            other.ok(b"STORE %d +FLAGS (\\Flagged $Odd%d)" % (number, number % 5))
            told = one.ok(b"NOOP").untagged
            assert any(b"* %d FETCH" % number in line and b"$Odd%d" % (number % 5) in line for line in told), told
        one.ok(b"STORE 1:25 +FLAGS.SILENT (\\Deleted)")
        one.ok(b"EXPUNGE")
        assert [line for line in other.ok(b"NOOP").untagged if line.endswith(b"EXPUNGE")] == [b"* 1 EXPUNGE"] * 25
        one.close()
        other.close()


def apart(server: Served) -> tuple[ImapWire, ImapWire]:
    """Two sessions with INBOX open, each at another worker."""
    with ExitStack() as opened:
        found: dict[int, ImapWire] = {}
        for _ in range(60):
            wire = opened.enter_context(ImapWire.open(server.imap, USER, "INBOX"))
            if found.setdefault(server.worker_of(wire), wire) is not wire:
                wire.close()
            elif len(found) == 2:
                opened.pop_all()  # the caller closes them
                one, other = found.values()
                return one, other
    raise AssertionError("all connections are of one worker")


def until(wire: ImapWire, wanted: bytes) -> bytes:
    """The next answer that holds this."""
    while line := wire.response():
        if wanted in line:
            return line
    raise AssertionError(f"closed, without {wanted!r}")


def centiles(seconds: list[float]) -> str:
    """In milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms"
