"""What a server has promised about letters: to those who bring, collect, move and send them. Kept outside it.

A letter names all whom it is for, so that it can be told where it has no business. It is written down before its first
octet is sent, as acknowledged once the 250 was read, as asked for before its removal (QUIT, EXPUNGE) is sent, and as
removed once the +OK or OK was read. What was under way when a fault came may have happened or not.
"""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.outside.remotes import Accepted

RIGHT_BEFORE = 0.5  # seconds from another server's 250 to the fault that may keep us from recording it
SOON_AFTER = 2.0  # from the end of a process to the last 250 for what it had sent, of a server that is slow to take it
RIGHT_AFTER = 0.1  # from the end of a process to a 250 for what it had sent already
_NUMBER = re.compile(rb"^Subject: letter ([0-9]+)\r$", re.MULTILINE)


@dataclass(frozen=True)
class Letter:
    """A message: `homes` are accounts of the server, `away` addresses elsewhere."""

    number: int
    sender: str
    homes: tuple[str, ...]
    away: tuple[str, ...] = ()

    def text(self) -> bytes:
        """What follows from all that: the end of its header, and its body."""
        seed = hashlib.sha256(repr(self).encode()).hexdigest().encode()
        to = " ".join(self.homes + self.away).encode()
        return b"Subject: letter %d\r\n\r\n.\r\nfor %b\r\n" % (self.number, to) + (seed + b"\r\n") * (
            self.number * 7 % 90
        )


def number_of(message: bytes) -> int:
    """Also of a bounce, which quotes the header. 0 for what is none of ours."""
    found = _NUMBER.search(message)
    return int(found[1]) if found else 0


Copy = tuple[int, str]  # a letter's number, and the account


@dataclass
class MailLedger:
    """`cuts`: from when to when each fault took that stopped a process, by time.monotonic().

    `unsettled`: for some of them, by the end of the fault: the letters' numbers and addresses whose outcome was not on
    the disk then. So the judge need not guess how long it takes to record one.
    """

    letters: dict[int, Letter] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    asked: set[Copy] = field(default_factory=set)
    removed: set[Copy] = field(default_factory=set)
    cuts: list[tuple[float, float]] = field(default_factory=list)
    unsettled: dict[float, set[Copy]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)  # by the beginning of the reply
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, sender: str, homes: Sequence[str], away: Sequence[str] = ()) -> Letter:
        """A new letter, about to be sent. "{}" in an address away becomes its number."""
        with self.lock:
            number = len(self.letters) + 1
            letter = Letter(number, sender, tuple(homes), tuple(one.format(number) for one in away))
            self.letters[number] = letter
            return letter

    def acknowledge(self, letter: Letter) -> None:
        with self.lock:
            self.acknowledged.add(letter.number)

    def refuse(self, reply: str) -> None:
        with self.lock:
            self.refused[reply[:9]] += 1

    def ask(self, copies: set[Copy]) -> None:
        with self.lock:
            self.asked |= copies

    def remove(self, copies: set[Copy]) -> None:
        with self.lock:
            self.removed |= copies

    def copy(self) -> "MailLedger":
        """As it is at this instant."""
        with self.lock:
            return MailLedger(
                dict(self.letters),
                set(self.acknowledged),
                set(self.asked),
                set(self.removed),
                list(self.cuts),
                dict(self.unsettled),
            )

    # The judge.

    def faults_at_home(self, found: Mapping[str, Sequence[bytes]]) -> list[str]:
        """Where the mailboxes differ from what was promised: all accounts that letters are for, with all messages."""
        faults, there = [], Counter[Copy]()
        for home, messages in found.items():
            for message in messages:
                letter = self.letters.get(number_of(message))
                if letter is None or home not in letter.homes:
                    faults.append(f"{home} has what belongs to others: {message[-400:]!r}")
                elif not message.endswith(letter.text()):
                    faults.append(f"letter {letter.number} is not whole with {home}")
                else:
                    there[letter.number, home] += 1
        faults += [f"letter {number} is with {home} {n} times" for (number, home), n in there.items() if n > 1]
        faults += [f"letter {number} was removed by {home} and is back" for number, home in self.removed & there.keys()]
        for letter in self.letters.values():
            faults += self._faults_of(letter, there)
        return faults

    def _faults_of(self, letter: Letter, there: Counter[Copy]) -> list[str]:
        kept = {home for home in letter.homes if (letter.number, home) not in self.asked}
        missing = sorted(home for home in kept if not there[letter.number, home])
        if letter.number in self.acknowledged:
            return [f"letter {letter.number} for {home} was acknowledged and is lost" for home in missing]
        if missing and any(there[letter.number, home] for home in letter.homes):
            return [f"letter {letter.number} was delivered to some and not to {', '.join(missing)}"]
        return []

    def faults_away(self, domain: str, taken: Sequence[Accepted]) -> list[str]:
        """Where the journal of another server, which takes everything in the end, differs from what was promised."""
        copies: dict[int, list[Accepted]] = {}
        faults = []
        for one in taken:
            letter = self.letters.get(number_of(one.data))
            named = {address.strip("<>").partition(">")[0] for address in one.recipients}
            if letter is None or not named <= set(letter.away):
                faults.append(f"{domain} got what was not for it: {one.recipients} {one.data[-400:]!r}")
                continue
            copies.setdefault(letter.number, []).append(one)
            if not one.data.endswith(letter.text()):
                faults.append(f"letter {letter.number} is not whole at {domain}")
        due = {n for n in self.acknowledged if any(to.endswith("@" + domain) for to in self.letters[n].away)}
        faults += [f"letter {number} never came to {domain}" for number in sorted(due - copies.keys())]
        for number, each in copies.items():
            faults += [
                f"letter {number} came twice to {domain}, and no fault was the reason"
                for one, other in pairwise(each)
                if not self.is_excused(number, domain, one.at, other.at)
            ]
        return faults

    def is_excused(self, number: int, domain: str, first: float, second: float) -> bool:
        """Whether a fault may have kept the server from recording the first 250, and the second came after it."""
        for began, ended in self.cuts:
            waiting = self.unsettled.get(ended)
            if waiting is None:
                excused = began - RIGHT_BEFORE < first < ended + RIGHT_AFTER
            else:
                there = any(one == number and address.endswith("@" + domain) for one, address in waiting)
                excused = there and first < ended + SOON_AFTER
            if excused and ended < second:
                return True
        return False

    def faults_of_bounces(self, domain: str, found: Mapping[str, Sequence[bytes]]) -> list[str]:
        """Where the senders' mailboxes differ from one bounce for each letter that went to the domain that refuses."""
        faults, told = [], Counter[int]()
        for sender, bounces in found.items():
            for bounce in bounces:
                letter = self.letters.get(number_of(bounce))
                if letter is None or letter.sender != sender:
                    faults.append(f"{sender} has what belongs to others: {bounce[-400:]!r}")
                else:
                    told[letter.number] += 1
        due = {n for n in self.acknowledged if any(to.endswith("@" + domain) for to in self.letters[n].away)}
        faults += [f"letter {number} was refused, and nobody was told" for number in sorted(due - told.keys())]
        return faults + [f"letter {number} was told of {count} times" for number, count in told.items() if count > 1]


def doubles(taken: Sequence[Accepted]) -> int:
    """How many copies too many."""
    return len(taken) - len({number_of(one.data) for one in taken})
