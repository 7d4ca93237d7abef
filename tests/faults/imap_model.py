"""What a client must believe of a mailbox, from what it was told alone, and where that cannot be true.

A server and its clients count messages each for themselves; nothing in the protocol mends a difference. So each answer
is tried against what was said before: EXISTS never shrinks, EXPUNGE is in range and never comes while a client may be
counting (RFC 9051 7.5.1), a sequence number has the uid it had, uids ascend, modseqs never go back.
"""

import re
import threading
from dataclasses import dataclass, field

from tests.outside.imap_wire import numbers

_UNTAGGED = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)\b ?(.*)", re.DOTALL)
_VANISHED = re.compile(rb"\* VANISHED (\(EARLIER\) )?([\d:,]+)")
_UID = re.compile(rb"[( ]UID (\d+)")
_FLAGS = re.compile(rb"[( ]FLAGS \(([^)]*)\)")
_MODSEQ = re.compile(rb"[( ]MODSEQ \((\d+)\)")
_HIGHEST = re.compile(rb"\* OK \[HIGHESTMODSEQ (\d+)\]")
_KEY = re.compile(rb"X-Key: (\S+)")
_COUNTING = ("FETCH", "STORE", "SEARCH", "SORT", "THREAD")  # no EXPUNGE while they go on; by uid it may come


class ViewError(AssertionError):
    """The server has said what cannot be."""


@dataclass(slots=True)
class Known:
    """One message, as far as the client was told."""

    uid: int = 0
    flags: frozenset[str] | None = None
    modseq: int = 0


class Registry:
    """Which message has which uid, by what all clients have seen: a uid means one message for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, int], str] = {}
        self.faults: list[str] = []

    def note(self, mailbox: str, uid: int, key: str, how: str) -> None:
        """Somebody was told that this is so."""
        with self._lock:
            known = self._keys.setdefault((mailbox, uid), key)
            if known != key:
                self.faults.append(f"{how}: uid {uid} of {mailbox} is {key}, and was {known}")

    @property
    def known(self) -> int:
        """How many uids have a key."""
        with self._lock:
            return len(self._keys)

    def key(self, mailbox: str, uid: int) -> str:
        """What has that uid; "" if nobody knows."""
        with self._lock:
            return self._keys.get((mailbox, uid), "")


@dataclass
class Model:
    """One client's view of the mailbox it has open."""

    registry: Registry
    mailbox: str = ""
    messages: list[Known] = field(default_factory=list)
    told: int = 0  # untagged answers that were tried
    modseq: int = 0  # up to which the client may believe that it knows everything (RFC 7162 3.2)
    highest: dict[str, int] = field(default_factory=dict)  # HIGHESTMODSEQ by mailbox

    def select(self, mailbox: str) -> None:
        """SELECT was sent: what is told from now on is of that one."""
        self.mailbox = mailbox
        self.messages = []
        self.modseq = 0

    def uids(self) -> list[int]:
        """Those that are known, ascending."""
        return [message.uid for message in self.messages if message.uid]

    def take(self, answer: bytes, during: str) -> None:
        """One untagged answer that came during that command ("UID FETCH"; "" for none)."""
        self.told += 1
        if found := _UNTAGGED.match(answer):
            number, kind, rest = int(found.group(1)), found.group(2), found.group(3)
            if kind == b"EXISTS":
                self._exists(number)
            elif kind == b"EXPUNGE":
                self._may_shrink(answer, during)
                self._expunge(number)
            else:
                self._fetched(number, rest, answer)
        elif found := _VANISHED.match(answer):
            self._vanished(numbers(found.group(2).decode()), answer, during, earlier=bool(found.group(1)))
        elif found := _HIGHEST.match(answer):
            self.modseq = int(found.group(1))

    def _exists(self, count: int) -> None:
        if count < len(self.messages):
            raise ViewError(f"EXISTS {count}, but there are {len(self.messages)}")
        self.messages += [Known() for _ in range(count - len(self.messages))]

    @staticmethod
    def _may_shrink(answer: bytes, during: str) -> None:
        if not during or during in _COUNTING:
            raise ViewError(f"{answer[:80]!r} during {during or 'nothing'}")

    def _expunge(self, number: int) -> None:
        if not 1 <= number <= len(self.messages):
            raise ViewError(f"EXPUNGE {number} of {len(self.messages)}")
        del self.messages[number - 1]

    def _vanished(self, uids: list[int], answer: bytes, during: str, *, earlier: bool) -> None:
        if earlier:
            if there := set(uids) & set(self.uids()):
                raise ViewError(f"{sorted(there)} VANISHED (EARLIER), and are there")
            return
        self._may_shrink(answer, during)
        for uid in uids:
            at = next((at for at, message in enumerate(self.messages) if message.uid == uid), -1)
            if at < 0:
                at = self._place_of_unknown(uid)
            if at < 0:
                raise ViewError(f"{uid} VANISHED, and was never here")
            del self.messages[at]

    def _place_of_unknown(self, uid: int) -> int:
        """Where a message may stand whose uid was not told yet."""
        found = -1
        for at, message in enumerate(self.messages):
            if message.uid > uid:
                break
            found = -1 if message.uid else at
        return found

    def _fetched(self, number: int, rest: bytes, answer: bytes) -> None:
        if not 1 <= number <= len(self.messages):
            raise ViewError(f"FETCH {number} of {len(self.messages)}: {answer[:200]!r}")
        message = self.messages[number - 1]
        if uid := _UID.search(rest):
            self._has_uid(number, int(uid.group(1)))
            if key := _KEY.search(rest):
                self.registry.note(self.mailbox, message.uid, key.group(1).decode(), "FETCH")
        if flags := _FLAGS.search(rest):
            message.flags = frozenset(flags.group(1).decode().split()) - {"\\Recent"}
        if modseq := _MODSEQ.search(rest):
            if int(modseq.group(1)) < message.modseq:
                raise ViewError(f"MODSEQ of uid {message.uid} was {message.modseq}: {answer[:200]!r}")
            message.modseq = int(modseq.group(1))
            self.modseq = max(self.modseq, message.modseq)

    def _has_uid(self, number: int, uid: int) -> None:
        message = self.messages[number - 1]
        if message.uid == uid:
            return
        if message.uid:
            raise ViewError(f"{number} has uid {uid}, and had {message.uid}")
        before = max((known.uid for known in self.messages[: number - 1]), default=0)
        behind = min((known.uid for known in self.messages[number:] if known.uid), default=1 << 32)
        if not before < uid < behind:
            raise ViewError(f"{number} has uid {uid}, between {before} and {behind}")
        message.uid = uid

    def opened(self, highest: int) -> None:
        """SELECT has ended: HIGHESTMODSEQ never goes back."""
        if highest < self.highest.get(self.mailbox, 0):
            raise ViewError(f"HIGHESTMODSEQ {highest} of {self.mailbox}, and was {self.highest[self.mailbox]}")
        self.highest[self.mailbox] = highest
