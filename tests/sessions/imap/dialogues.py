"""Dialogues of several clients with one IMAP service, in the order in which they happen.

A file holds, line by line:
    # comment
    = key value          "covers" and words of CAPABILITY; "user" and who logs in (alice); "raw" and clients that are
                         to be shown from the greeting on
    + mailbox letters    before anybody comes, letters of letters.py lie in that mailbox, an hour between two
    A C: text            client A says a line
    A C< b"..."          octets of client A as a Python bytes literal, nothing added
    A S: text            the next line that A hears
    A S< b"..."          the next octets that A hears
    A CLOSE              the server hangs up on A
    A LEAVES             A is gone without a word
    A REPEATS count      A says a message of that many octets, nothing added
    A OPENS mailbox      SELECT, whose answer is told elsewhere; (CONDSTORE) and the like may follow
    CLOCK seconds        so much time goes by
    ? one < two          of numbers that were told

A client is named by one capital, and is logged in when it first speaks. What stands as <name> in an S line may be any
word of letters and digits when it is first told, and the same one from then on; a C line says it again.

Before a client speaks, and at the end, it must have heard all that the server said to it.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.mailstore.interface import Appending, Marks, Role
from tests.sessions.imap.fixture import Fixture, Wire
from tests.sessions.imap.letters import LETTERS
from tests.stores import NOW, Bytes, ascending

_STEP = re.compile(r"([A-Z]) (C:|C<|S:|S<|CLOSE|LEAVES|OPENS|REPEATS)(?: (.*))?\Z")
_NAMES = re.compile(rb"<([a-z][a-z0-9]*)>")
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Step:
    """One line: who, what, and the rest of it. `who` is "" where nobody is named."""

    number: int
    who: str
    what: str
    rest: str


@dataclass
class Dialogue:
    """One file."""

    name: str
    opening: str = ""  # its first line
    directives: dict[str, str] = field(default_factory=dict)
    mail: dict[str, list[str]] = field(default_factory=dict)  # names of letters by mailbox
    steps: list[Step] = field(default_factory=list)

    @property
    def covered(self) -> set[str]:
        """The words of CAPABILITY it is about."""
        return set(self.directives.get("covers", "").split())

    @property
    def clients(self) -> set[str]:
        """Who speaks."""
        return {step.who for step in self.steps if step.who}


def load(path: Path) -> Dialogue:
    """Read a file; a line it cannot read is an error."""
    found = Dialogue(path.stem)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found.opening = found.opening or line
        mark, _, rest = line.partition(" ")
        if not line or mark == "#":
            continue
        if mark == "=":
            key, _, value = rest.partition(" ")
            found.directives[key] = value
        elif mark == "+":
            mailbox, *letters = rest.split()
            found.mail[mailbox] = letters
        elif mark in ("CLOCK", "?"):
            found.steps.append(Step(number, "", mark, rest))
        elif step := _STEP.match(line):
            found.steps.append(Step(number, step[1], step[2], step[3] or ""))
        else:
            raise ValueError(f"{path.name}:{number}: cannot read {line!r}")
    return found


async def play(dialogue: Dialogue, house: Fixture) -> None:
    """Raises AssertionError where the server says something else."""
    await _file_letters(dialogue, house)
    player = _Player(dialogue, house)
    for step in dialogue.steps:
        try:
            await player.take(step)
        except (AssertionError, TimeoutError) as error:
            why = "nothing was said" if isinstance(error, TimeoutError) else error
            raise AssertionError(f"{dialogue.name}:{step.number}: {step.who} {step.what} {step.rest}\n{why}") from None
    for who, wire in player.wires.items():
        assert not wire.left(), f"{dialogue.name}: {who} was told more: {wire.left()!r}"


async def _file_letters(dialogue: Dialogue, house: Fixture) -> None:
    account = house.account(dialogue.directives.get("user", "alice"))
    received = NOW
    for mailbox, names in dialogue.mail.items():
        if await house.mailstore.mailbox(account, mailbox) is None:
            await house.mailstore.create(account, mailbox, Role.NONE)
        letters = []
        for name in names:
            letters.append(Appending(Bytes(LETTERS[name]), received, Marks()))
            received += _HOUR
        await house.mailstore.append(account, mailbox, letters)
    house.now = float(received)


class _Player:
    def __init__(self, dialogue: Dialogue, house: Fixture) -> None:
        self._dialogue = dialogue
        self._house = house
        self._told: dict[str, bytes] = {}
        self.wires: dict[str, Wire] = {}

    async def take(self, step: Step) -> None:
        match step.what:
            case "CLOCK":
                self._house.now += float(step.rest)
            case "?":
                numbers = [int(self._told[name]) for name in step.rest.split(" < ")]
                assert ascending(numbers), numbers
            case _:
                await self._converse(step, self.wires.get(step.who) or await self._enter(step.who))

    async def _converse(self, step: Step, wire: Wire) -> None:
        match step.what:
            case "C:" | "C<":
                assert not wire.left(), f"it was told more before: {wire.left()!r}"
                said = step.rest.encode() + b"\r\n" if step.what == "C:" else ast.literal_eval(step.rest)
                wire.say(_NAMES.sub(lambda found: self._told.get(found[1].decode(), found[0]), said))
            case "S:":
                self._compare(step.rest.encode() + b"\r\n", await wire.line())
            case "S<":
                expected = ast.literal_eval(step.rest)
                said = await wire.octets(len(expected))
                assert said == expected, f"instead: {said!r}"
            case "CLOSE":
                await wire.end()
                assert not wire.left(), f"it was told more before: {wire.left()!r}"
            case "REPEATS":
                wire.say(b"A: b\r\n\r\n".ljust(int(step.rest), b"x"))
            case "OPENS":
                wire.say(b"open SELECT %b\r\n" % step.rest.encode())
                while not (line := await wire.line()).startswith(b"open "):
                    pass
                assert line.startswith(b"open OK "), line
            case _:
                wire.leave()

    async def _enter(self, who: str) -> Wire:
        wire = self.wires[who] = self._house.connect()
        if who not in self._dialogue.directives.get("raw", "").split():
            assert (await wire.line()).startswith(b"* OK [CAPABILITY ")
            user = self._dialogue.directives.get("user", "alice")
            wire.say(b"login LOGIN %b@example.test secret\r\n" % user.encode())
            assert (await wire.line()).startswith(b"login OK ")
        return wire

    def _compare(self, expected: bytes, said: bytes) -> None:
        """Take up what is told for the first time."""
        pattern: list[bytes] = []
        end = 0
        fresh: list[str] = []
        for found in _NAMES.finditer(expected):
            pattern.append(re.escape(expected[end : found.start()]))
            end = found.end()
            name = found[1].decode()
            if name in self._told:
                pattern.append(re.escape(self._told[name]))
            elif name in fresh:
                pattern.append(b"(?P=%b)" % found[1])
            else:
                fresh.append(name)
                pattern.append(b"(?P<%b>[A-Za-z0-9]+)" % found[1])
        pattern.append(re.escape(expected[end:]))
        match = re.fullmatch(b"".join(pattern), said)
        known = {name: value.decode() for name, value in self._told.items()}
        assert match is not None, f"instead: {said.decode('utf-8', 'backslashreplace')!r}; {known}"
        self._told.update({name: match[name] for name in fresh})
