"""What the fuzzers of the engines share: feeding, answering, and what must hold whatever a peer sends."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from posthouse.protocol.events import StartTlsOffered
from tests.transcript import Engine, load

MAX_LENGTH = 4096
_CUTS = (1, 2, 3, 7, 50, 1 << 20)


class Fixture(Protocol):
    """An engine with somebody who answers it."""

    @property
    def engine(self) -> Engine: ...

    def answer(self, event: object) -> None: ...


def output_of(house: Fixture, data: bytes, cut: int) -> bytes:
    """Feed `data` in pieces of `cut` octets; everything the engine says."""
    engine = house.engine
    said = [engine.data_to_send()]
    for at in range(0, len(data), cut):
        engine.receive_data(data[at : at + cut])
        said.extend(_drain(house))
    engine.receive_eof()
    said.extend(_drain(house))
    assert engine.closing, "the peer is gone and the engine waits for it"
    return b"".join(said)


def _drain(house: Fixture) -> Iterator[bytes]:
    """Answer all there is. An engine may stop where much waits to be sent, and goes on once it was taken."""
    engine = house.engine
    while True:
        while (event := engine.next_event()) is not None:
            _answer(house, event)
        said = engine.data_to_send()
        if not said and not engine.has_more:
            return
        yield said


def _answer(house: Fixture, event: object) -> None:
    if isinstance(event, StartTlsOffered):
        house.engine.tls_started({})
    else:
        house.answer(event)


def try_input(make: Callable[[], Fixture], data: bytes, cut: int) -> bytes:
    """The same answers however the bytes are cut. (After STARTTLS what was sent before is dropped, so not there.)"""
    said = output_of(make(), data, 1 << 20)
    assert said.endswith(b"\r\n") and b"\0" not in said
    upper = data.upper()
    if b"STARTTLS" not in upper and b"STLS" not in upper:
        assert output_of(make(), data, _CUTS[cut % len(_CUTS)]) == said
    return said


def seed(folder: Path, others: Mapping[str, bytes]) -> None:
    """Put the client's side of every transcript, and other seeds, into the corpus that was named, if one was."""
    corpus = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpus and corpus[0].is_dir():
        dialogues = {
            path.stem: b"\0\0" + b"".join(phase.client for phase in load(path).phases) for path in folder.glob("*.txt")
        }
        for name, content in (dialogues | dict(others)).items():
            if len(content) < MAX_LENGTH:
                (corpus[0] / f"seed-{name}").write_bytes(content)


def run(fuzz: Callable[[bytes], None], transcripts: str, seeds: Mapping[str, bytes] | None = None) -> None:
    """Fuzz until told to stop, or until -max_total_time."""
    import atheris

    seed(Path(__file__).parent.parent / "transcripts" / transcripts, seeds or {})
    atheris.Setup([*sys.argv, f"-max_len={MAX_LENGTH}"], fuzz)
    atheris.Fuzz()
