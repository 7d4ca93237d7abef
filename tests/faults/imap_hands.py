"""IMAP clients that change mailboxes until the server is killed, and the reader that looks at what is left."""

import random
import re
import threading

from tests.faults.imap_ledger import OWNERS, Change, Held, Ledger, Owner, Place, Seen, message_of
from tests.outside.imap_wire import Answer, ImapWire, numbers, quoted

SHARED = "Shared"
_ENDS = (OSError, AssertionError)  # how a conversation with a killed server ends
_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "$Label1", "Project-X")
_MANY = 16  # messages of one client, from which on it expunges
_MODSEQ = re.compile(rb"\* \d+ FETCH .*\bMODSEQ \((\d+)\)", re.DOTALL)
_STATUS = re.compile(rb"\b(UIDNEXT|UIDVALIDITY|HIGHESTMODSEQ) (\d+)")
_ID = re.compile(rb"MAILBOXID \(([^)]+)\)")
_NAME = re.compile(rb'\* LIST \([^)]*\) \S+ "?([^"]+?)"?$')
_FETCHED = re.compile(rb"\* \d+ FETCH \(")
_UID = re.compile(rb"\bUID (\d+)")
_SET = re.compile(rb"\bFLAGS \(([^)]*)\)")
_BODY = re.compile(rb"BODY\[\] \{(\d+)\}\r\n")


class Refused(Exception):
    """NO or BAD to a command that can be done."""


class Hand:
    """One client: what it owns outlives the server, its connection does not."""

    def __init__(self, place: int, account: str, shared: str, ledger: Ledger, seed: int) -> None:
        self.owner = Owner(f"c{place}")
        self.account, self.shared, self.ledger = account, shared, ledger
        self.random = random.Random(f"{seed}/{place}")
        self.place = place
        self.selected = ""
        self.wire: ImapWire | None = None

    def connect(self, port: int) -> None:
        self.selected = ""
        wire = ImapWire.open(port, self.account, timeout=10)
        try:
            wire.ok(b"ENABLE CONDSTORE")
        except BaseException:
            wire.close()
            raise
        self.wire = wire

    def work(self, stop: threading.Event) -> None:
        """Until the server goes away."""
        assert self.wire is not None
        acts = [self.append, self.append, self.copy, self.move, self.move, self.store, self.expunge]
        acts += [self.rename, self.rename, self.create, self.delete, self.look]
        try:
            while not stop.is_set():
                self.random.choice(acts)()
        except Refused as fault:
            with self.ledger.lock:
                self.ledger.wrong.append(f"{self.owner.name}: {fault}")
        except _ENDS:
            return
        finally:
            self.wire.close()

    # Talking.

    def give(self, command: bytes) -> Answer:
        """A command that must be done; what it tells of numbers is written down."""
        assert self.wire is not None
        answer = self.wire.give(command)
        if answer.status in ("NO", "BAD"):
            raise Refused(f"{command[:100]!r} -> {answer.status} {answer.text[:200]!r}")
        if answer.status != "OK":
            raise OSError("the server went away")
        for line in answer.untagged:
            if found := _MODSEQ.match(line):
                self.ledger.told_modseq(self.selected, int(found.group(1)))
        if answer.code == "HIGHESTMODSEQ":
            self.ledger.told_modseq(self.selected, int(answer.argument("HIGHESTMODSEQ")))
        return answer

    def change(self, change: Change, command: bytes) -> Answer:
        """A command that changes something. Nothing is taken as done before its tagged OK was read."""
        self.owner.under_way = change
        return self.give(command)

    def done(self, change: Change, uids: list[int] | None = None, created: str = "") -> None:
        for (box, what), uid in zip(change.adds, uids or [], strict=True):
            self.ledger.told_uid(box, uid, what.number)
        self.owner.state = change.on(self.owner.state, uids or [], created)
        self.owner.under_way = None
        self.ledger.acknowledged(change.what)

    def name(self, box: str) -> bytes:
        return quoted(SHARED if box == self.shared else self.owner.state.boxes[box])

    def select(self, box: str) -> None:
        if box != self.selected:
            answer = self.give(b"SELECT " + self.name(box))
            self.selected = box
            self.ledger.told_validity(box, int(answer.argument("UIDVALIDITY")))
            self.ledger.told_uidnext(box, int(answer.argument("UIDNEXT")))
            self.ledger.told_modseq(box, int(answer.argument("HIGHESTMODSEQ")))
            if (told := self.key(answer.argument("MAILBOXID"))) != box:
                raise Refused(f"SELECT of {box} opened {told}")

    def key(self, mailboxid: str) -> str:
        return f"{self.account}/{mailboxid.strip('()')}"

    # Choosing.

    def any_box(self) -> str:
        return self.random.choice([self.shared, *self.owner.state.boxes])

    def some(self) -> list[Place]:
        """Messages of ours in one mailbox, which is then open."""
        boxes = sorted({box for box, _ in self.owner.state.held})
        if not boxes:
            return []
        box = self.random.choice(boxes)
        self.select(box)
        there = sorted(place for place in self.owner.state.held if place[0] == box)
        return sorted(self.random.sample(there, min(len(there), self.random.randint(1, 3))))

    def free_name(self) -> str:
        used = self.owner.state.boxes.values()
        free = [name for name in (f"{self.owner.name}-{word}" for word in "abcd") if name not in used]
        return self.random.choice(free)

    # Commands.

    def append(self) -> None:
        box = self.any_box()
        news = [
            Held(
                self.ledger.next() * OWNERS + self.place,
                frozenset(self.random.sample(_FLAGS, self.random.randint(0, 2))),
            )
            for _ in range(self.random.choice([1, 1, 3]))
        ]
        change = Change("append", adds=tuple((box, new) for new in news))
        parts = b"".join(
            b" (%b) {%d+}\r\n%b" % (" ".join(new.flags).encode(), len(message_of(new.number)), message_of(new.number))
            for new in news
        )
        answer = self.change(change, b"APPEND %b%b" % (self.name(box), parts))
        uidvalidity, uids = answer.argument("APPENDUID").split()
        self.ledger.told_validity(box, int(uidvalidity))
        self.done(change, numbers(uids))

    def copy(self) -> None:
        if len(self.owner.state.held) < _MANY:
            self.transfer("copy", b"UID COPY")

    def move(self) -> None:
        self.transfer("move", b"UID MOVE")

    def transfer(self, what: str, command: bytes) -> None:
        chosen, target = self.some(), self.any_box()
        if not chosen or (what == "move" and target == chosen[0][0]):
            return
        adds = tuple((target, self.owner.state.held[place]) for place in chosen)
        change = Change(what, frozenset(chosen if what == "move" else ()), adds)
        answer = self.change(change, b"%b %b %b" % (command, _set_of(chosen), self.name(target)))
        uidvalidity, old, new = answer.argument("COPYUID").split()
        self.ledger.told_validity(target, int(uidvalidity))
        uid_of = dict(zip(numbers(old), numbers(new), strict=True))
        self.done(change, [uid_of[uid] for _, uid in chosen])

    def store(self) -> None:
        chosen = self.some()
        if chosen:
            self.set_flags(chosen, self.random.sample(_FLAGS, 2), self.random.choice(["+", "-", ""]))

    def set_flags(self, chosen: list[Place], flags: list[str], how: str) -> None:
        held, named = self.owner.state.held, frozenset(flags)
        after = {
            place: held[place].flags | named if how == "+" else held[place].flags - named if how == "-" else named
            for place in chosen
        }
        change = Change("store", flags=after)
        self.change(change, b"UID STORE %b %bFLAGS (%b)" % (_set_of(chosen), how.encode(), " ".join(flags).encode()))
        self.done(change)

    def expunge(self) -> None:
        """By uid; in a mailbox of our own by EXPUNGE too, which takes all that is marked."""
        if len(self.owner.state.held) < _MANY // 2 or not (chosen := self.some()):
            return
        self.set_flags(chosen, ["\\Deleted"], "+")
        command = b"UID EXPUNGE " + _set_of(chosen)
        if self.selected != self.shared and self.random.random() < 0.5:
            command = b"EXPUNGE"
            held = self.owner.state.held
            chosen = [at for at in held if at[0] == self.selected and "\\Deleted" in held[at].flags]
        change = Change("expunge", removes=frozenset(chosen))
        self.change(change, command)
        self.done(change)

    def rename(self) -> None:
        if self.owner.state.boxes:
            box, new = self.random.choice(sorted(self.owner.state.boxes)), self.free_name()
            change = Change("rename", renames={box: new})
            self.change(change, b"RENAME %b %b" % (self.name(box), quoted(new)))
            self.done(change)

    def create(self) -> None:
        if len(self.owner.state.boxes) < 3:
            change = Change("create", creates=self.free_name())
            answer = self.change(change, b"CREATE " + quoted(change.creates))
            self.done(change, created=self.key(answer.argument("MAILBOXID")))

    def delete(self) -> None:
        """A mailbox with all that is in it; not the only one, so that there is something to do."""
        if len(self.owner.state.boxes) == 3:
            box = self.random.choice(sorted(self.owner.state.boxes))
            if self.selected == box:
                self.give(b"UNSELECT")
                self.selected = ""
            change = Change("delete", deletes=box)
            self.change(change, b"DELETE " + self.name(box))
            self.done(change)

    def look(self) -> None:
        box = self.any_box()
        status = _status(self.give(b"STATUS %b (UIDNEXT UIDVALIDITY HIGHESTMODSEQ)" % self.name(box)))
        self.ledger.told_validity(box, status["UIDVALIDITY"])
        self.ledger.told_uidnext(box, status["UIDNEXT"])
        self.ledger.told_modseq(box, status["HIGHESTMODSEQ"])


def _set_of(places: list[Place]) -> bytes:
    return ",".join(str(uid) for _, uid in places).encode()


def _status(answer: Answer) -> dict[str, int]:
    line = next(line for line in answer.untagged if line.startswith(b"* STATUS"))
    return {name.decode(): int(value) for name, value in _STATUS.findall(line)}


def read_all(port: int, account: str) -> dict[str, Seen]:
    """Every mailbox of an account with every octet, by MAILBOXID; AssertionError for a message that is not whole."""
    seen: dict[str, Seen] = {}
    with ImapWire.open(port, account) as wire:
        wire.ok(b"ENABLE CONDSTORE")
        for line in wire.ok(b'LIST "" *').untagged:
            name = _NAME.match(line)
            assert name is not None, line
            answer = wire.ok(b"STATUS %b (UIDNEXT UIDVALIDITY HIGHESTMODSEQ MAILBOXID)" % quoted(name.group(1)))
            status, found = _status(answer), _ID.search(b"".join(answer.untagged))
            assert found is not None, answer
            box = Seen(name.group(1).decode(), status["UIDVALIDITY"], status["UIDNEXT"], status["HIGHESTMODSEQ"])
            assert seen.setdefault(f"{account}/{found.group(1).decode()}", box) is box, f"two mailboxes are {found}"
            opened = wire.ok(b"EXAMINE " + quoted(name.group(1)))
            assert int(opened.argument("UIDNEXT")) == box.uidnext, (opened, box)
            assert int(opened.argument("HIGHESTMODSEQ")) == box.modseq, (opened, box)
            for fetched in wire.ok(b"UID FETCH 1:* (UID FLAGS BODY.PEEK[])").untagged:
                if _FETCHED.match(fetched):
                    uid, held = _held(fetched)
                    box.messages[uid] = held
            assert f"* {len(box.messages)} EXISTS".encode() in opened.untagged, (opened, sorted(box.messages))
    return seen


def _held(fetched: bytes) -> tuple[int, Held]:
    body = _BODY.search(fetched)
    assert body is not None, fetched[:200]
    octets = fetched[body.end() : body.end() + int(body.group(1))]
    number = int(octets.partition(b"X-Number: ")[2].partition(b"\r")[0])
    assert octets == message_of(number), f"{number} is not whole"
    rest = fetched[: body.start()] + fetched[body.end() + len(octets) :]
    uid, flags = _UID.search(rest), _SET.search(rest)
    assert uid is not None and flags is not None, rest
    return int(uid.group(1)), Held(number, frozenset(flags.group(1).decode().split()))
