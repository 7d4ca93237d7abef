"""What an IMAP server has promised, kept outside it, and the judge of what it still has after a crash.

Each message carries a number and belongs to the one client that made it; nobody else touches it. A client has one
command under way at a time. So after a crash the messages and mailboxes of a client are either as they were
before that command or as they are after it, and nothing in between. Mailboxes are known by MAILBOXID (RFC 8474),
which a new name does not change.
"""

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field, replace

OWNERS = 8  # the number of a message, modulo this, is its owner
Place = tuple[str, int]  # MAILBOXID, uid


@dataclass(frozen=True)
class Held:
    """A message in one place."""

    number: int
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class State:
    """All that one client owns: its mailboxes (id to name), and its messages in them and in the shared one."""

    boxes: dict[str, str] = field(default_factory=dict)
    held: dict[Place, Held] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What a command does if it is done."""

    what: str
    removes: frozenset[Place] = frozenset()
    adds: tuple[tuple[str, Held], ...] = ()
    flags: dict[Place, frozenset[str]] = field(default_factory=dict)
    creates: str = ""  # the name
    renames: dict[str, str] = field(default_factory=dict)  # id to the new name
    deletes: str = ""  # the id

    def on(self, before: State, uids: list[int], created: str = "") -> State:
        """What there is afterwards, when what it adds got these uids."""
        boxes = {box: name for box, name in (before.boxes | self.renames).items() if box != self.deletes}
        held = {
            place: replace(what, flags=self.flags.get(place, what.flags))
            for place, what in before.held.items()
            if place not in self.removes and place[0] != self.deletes
        }
        held |= {(box, uid): what for (box, what), uid in zip(self.adds, uids, strict=True)}
        return State(boxes | ({created: self.creates} if self.creates else {}), held)

    def may_have_made(self, before: State, now: State) -> bool:
        """Whether what is there is what it makes, under uids and ids that nobody was told."""
        new = {place: what for place, what in now.held.items() if place not in before.held}
        if Counter((place[0], what) for place, what in new.items()) != Counter(self.adds):
            return False
        created = [box for box in now.boxes if box not in before.boxes]
        if [now.boxes[box] for box in created] != ([self.creates] if self.creates else []):
            return False
        rest = replace(self, adds=()).on(before, [], created[0] if created else "")
        return now == State(rest.boxes, rest.held | new)


@dataclass
class Owner:
    """One client's account of itself. `under_way` is set before a command is sent, and taken away by its tagged OK."""

    name: str
    state: State = field(default_factory=State)
    under_way: Change | None = None

    def faults(self, now: State) -> list[str]:
        """Where what is there is neither what was acknowledged nor that with the command under way done."""
        change = self.under_way
        if now == self.state or (change is not None and change.may_have_made(self.state, now)):
            return []
        faults = _differences(self.state, now, change or Change("nothing"))
        return [f"{self.name}: {fault}" for fault in faults or [f"{change} was done by half"]]


def _differences(before: State, now: State, change: Change) -> list[str]:
    """What the command under way does not explain."""
    faults = []
    for place, what in before.held.items():
        may_go = place in change.removes or place[0] == change.deletes
        if place not in now.held:
            if not may_go:
                faults.append(f"{what.number} at {place} was acknowledged and is lost")
        elif now.held[place].number != what.number:
            faults.append(f"{place} is {now.held[place].number} and was {what.number}")
        elif now.held[place].flags not in (what.flags, change.flags.get(place, what.flags)):
            faults.append(f"flags of {what.number} at {place} were {what.flags}, are {now.held[place].flags}")
    may_come = Counter((box, what.number) for box, what in change.adds)
    for place, what in now.held.items():
        if place not in before.held and not may_come[place[0], what.number]:
            faults.append(f"{what.number} is also at {place}, where it was not put or was expunged")
    for box, name in before.boxes.items():
        if now.boxes.get(box) not in (name, change.renames.get(box, name)) and box != change.deletes:
            faults.append(f"mailbox {box} was {name}, is {now.boxes.get(box, 'lost')}")
    for box, name in now.boxes.items():
        if box not in before.boxes and name != change.creates:
            faults.append(f"mailbox {name} ({box}) was not made or was deleted")
    return faults


@dataclass
class Seen:
    """A mailbox as it was read afresh."""

    name: str
    uidvalidity: int
    uidnext: int
    modseq: int
    messages: dict[int, Held] = field(default_factory=dict)


@dataclass
class Ledger:
    """What was told to any client about mailboxes, over all lives of the server."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0
    uidnext: dict[str, int] = field(default_factory=dict)  # the highest that was told; so for modseq
    modseq: dict[str, int] = field(default_factory=dict)
    uidvalidity: dict[str, int] = field(default_factory=dict)
    meaning: dict[Place, int] = field(default_factory=dict)  # which message a uid has ever meant
    identity: dict[tuple[str, str, int], str] = field(default_factory=dict)  # account, name, uidvalidity: the mailbox
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # what was seen to be impossible at once

    def next(self) -> int:
        with self.lock:
            self.last += 1
            return self.last

    def told_validity(self, box: str, uidvalidity: int) -> None:
        with self.lock:
            known = self.uidvalidity.setdefault(box, uidvalidity)
            if known != uidvalidity:
                self.wrong.append(f"UIDVALIDITY of {box} is {uidvalidity}, was {known}")

    def told_uid(self, box: str, uid: int, number: int) -> None:
        with self.lock:
            known = self.meaning.setdefault((box, uid), number)
            if known != number:
                self.wrong.append(f"uid {uid} of {box} is used again: {number}, was {known}")
        self.told_uidnext(box, uid + 1)

    def told_uidnext(self, box: str, uidnext: int) -> None:
        with self.lock:
            self.uidnext[box] = max(uidnext, self.uidnext.get(box, 0))

    def told_modseq(self, box: str, modseq: int) -> None:
        with self.lock:
            self.modseq[box] = max(modseq, self.modseq.get(box, 0))

    def acknowledged(self, what: str) -> None:
        with self.lock:
            self.done[what] += 1

    def judge(self, seen: dict[str, Seen], owners: list[Owner]) -> list[str]:
        """All faults of what is there now; the next life is measured by what is there."""
        faults: list[str] = []
        for box, what in seen.items():
            faults += self._faults_of_mailbox(box, what)
        numbers: set[int] = set()
        for owner in owners:
            now = owned(owner.name, seen)
            faults += owner.faults(now)
            owner.state, owner.under_way = now, None
            numbers |= {what.number for what in now.held.values()}
        for what in seen.values():
            strange = {held.number for held in what.messages.values()} - numbers
            faults += [f"{number} in {what.name} belongs to nobody" for number in strange]
        faults += self.wrong
        self.wrong = []
        return faults

    def _faults_of_mailbox(self, box: str, what: Seen) -> list[str]:
        faults = []
        if what.uidnext < self.uidnext.get(box, 0):
            faults.append(f"UIDNEXT of {what.name} went back from {self.uidnext[box]} to {what.uidnext}")
        if what.modseq < self.modseq.get(box, 0):
            faults.append(f"HIGHESTMODSEQ of {what.name} went back from {self.modseq[box]} to {what.modseq}")
        if max(what.messages, default=0) >= what.uidnext:
            faults.append(f"UIDNEXT of {what.name} is {what.uidnext}, but {max(what.messages)} is there")
        account = box.partition("/")[0]
        # RFC 9051 2.3.1.1: name, UIDVALIDITY and uid together mean one message for ever.
        known = self.identity.setdefault((account, what.name, what.uidvalidity), box)
        if known != box:
            faults.append(f"{what.name} {what.uidvalidity} is {box}, was {known}")
        self.told_validity(box, what.uidvalidity)
        self.told_uidnext(box, what.uidnext)
        self.told_modseq(box, what.modseq)
        for uid, held in what.messages.items():
            self.told_uid(box, uid, held.number)
        return faults


def owned(owner: str, seen: dict[str, Seen]) -> State:
    """What of that belongs to this owner, such as "c3": numbers and names say it."""
    place = int(owner[1:])
    return State(
        {box: what.name for box, what in seen.items() if what.name.startswith(f"{owner}-")},
        {
            (box, uid): held
            for box, what in seen.items()
            for uid, held in what.messages.items()
            if held.number % OWNERS == place
        },
    )


def message_of(number: int) -> bytes:
    """A message whose octets follow from its number."""
    seed = hashlib.sha256(b"%d" % number).hexdigest().encode()
    return b"X-Number: %d\r\n\r\n" % number + (seed + b"\r\n") * (1 + number % 60)
