"""Transcripts: dialogues with an engine, byte for byte, played whole, octet by octet and cut at random.

A file holds, line by line:
    # comment
    = key value          a directive for the suite that plays it, such as "= variant submission"
    C: text              a line of the client, CRLF added
    C< b"..."            octets of the client as a Python bytes literal, nothing added
    S: text              a line expected from the server, CRLF added
    S< b"..."            octets expected
    --tls--              the handshake happens here; what the client "sent" before it is a phase of its own
    EOF                  the client sends no more
    CLOSE                the engine must be closing at the end

The order of C and S lines is for people: per phase, all that the server says must equal all S lines.
"""

import ast
import difflib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_SHOWN = 200  # characters of a line in a failure


class Engine(Protocol):
    """What playing needs of an engine."""

    @property
    def closing(self) -> bool: ...
    @property
    def has_more(self) -> bool: ...
    def receive_data(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...
    def next_event(self) -> object | None: ...
    def data_to_send(self) -> bytes: ...
    def tls_started(self, bindings: dict[str, bytes]) -> None: ...


@dataclass
class Phase:
    """Everything up to a handshake or the end."""

    client: bytes = b""
    server: bytes = b""
    eof: bool = False


@dataclass
class Transcript:
    """One file."""

    name: str
    directives: dict[str, str] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=lambda: [Phase()])
    closes: bool = False


Cut = Callable[[bytes], Iterable[bytes]]


def _whole(data: bytes) -> Iterable[bytes]:
    return [data]


def _octets(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def _random(seed: int) -> Cut:
    def cut(data: bytes) -> Iterator[bytes]:
        source = random.Random(seed)
        at = 0
        while at < len(data):
            size = source.choice((1, 2, 3, 5, 8, 21, 55, 144))
            yield data[at : at + size]
            at += size

    return cut


CUTS: dict[str, Cut] = {"whole": _whole, "octets": _octets} | {f"random{seed}": _random(seed) for seed in range(6)}


def load(path: Path) -> Transcript:
    """Read a file; a line it cannot read is an error."""
    found = Transcript(path.stem)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        _read(line, found, f"{path.name}:{number}")
    return found


def _read(line: str, found: Transcript, where: str) -> None:
    phase = found.phases[-1]
    mark, rest = line[:2], line[3:]
    if not line or mark == "# " or line == "#":
        return
    if mark == "= ":
        key, _, value = line[2:].partition(" ")
        found.directives[key] = value
    elif mark == "C:":
        phase.client += rest.encode() + b"\r\n"
    elif mark == "C<":
        phase.client += ast.literal_eval(rest)
    elif mark == "S:":
        phase.server += rest.encode() + b"\r\n"
    elif mark == "S<":
        phase.server += ast.literal_eval(rest)
    elif line == "--tls--":
        found.phases.append(Phase())
    elif line == "EOF":
        phase.eof = True
    elif line == "CLOSE":
        found.closes = True
    else:
        raise ValueError(f"{where}: cannot read {line!r}")


def play(transcript: Transcript, engine: Engine, answer: Callable[[object], None], cut: Cut) -> None:
    """Feed every phase and compare what the engine says. `answer` answers its offers."""
    for number, phase in enumerate(transcript.phases):
        if number:
            engine.tls_started({})
        said = [_drain(engine, answer)]
        for piece in cut(phase.client):
            engine.receive_data(piece)
            said.append(_drain(engine, answer))
        if phase.eof:
            engine.receive_eof()
        said.append(_drain(engine, answer))
        _compare(f"{transcript.name}, phase {number}", phase, b"".join(said))
    assert engine.closing == transcript.closes, f"{transcript.name}: closing is {engine.closing}"


def _drain(engine: Engine, answer: Callable[[object], None]) -> bytes:
    """Answer all there is. An engine may stop where much waits to be sent, and goes on once it was taken."""
    said = [engine.data_to_send()]
    while True:
        while (event := engine.next_event()) is not None:
            answer(event)
        said.append(engine.data_to_send())
        if not said[-1] and not engine.has_more:
            return b"".join(said)


def _compare(where: str, phase: Phase, said: bytes) -> None:
    """Fail with both sides of the dialogue, line by line: "-" was expected, "+" was said instead."""
    if said == phase.server:
        return
    difference = difflib.ndiff(_format(phase.server), _format(said))
    report = [where, "The client:", *(f"    {line}" for line in _format(phase.client)), "The server:"]
    raise AssertionError("\n".join([*report, *(f"  {line}" for line in difference if not line.startswith("?"))]))


def _format(data: bytes) -> list[str]:
    lines = (repr(line)[2:-1] for line in data.splitlines(keepends=True))
    return [line if len(line) <= _SHOWN else f"{line[:_SHOWN]}... ({len(line)} characters)" for line in lines]
