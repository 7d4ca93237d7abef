"""The player of transcripts: what it reads, and that it fails where it should."""

from pathlib import Path

import pytest

from tests.transcript import CUTS, Phase, load, play

TEXT = r"""# a comment

= key a value
C: hello
C< b'raw\x00'
S: hi
S< b'octets'
--tls--
C: again
S: yes
EOF
CLOSE
"""


class Echo:
    """Answers each line in capitals; after 20 lines it wants to be drained first. "end" ends it."""

    def __init__(self) -> None:
        self.closing = self.has_more = False
        self.handshakes = 0
        self._data = b""
        self._out = b"ready\r\n"
        self._answered = 0
        self._asked = False

    def receive_data(self, data: bytes) -> None:
        self._data += data

    def receive_eof(self) -> None:
        self.closing = True

    def next_event(self) -> object | None:
        if self._answered >= 20 or b"\r\n" not in self._data or self._asked:
            return None
        line, _, self._data = self._data.partition(b"\r\n")
        self._asked = True
        return line

    def answer(self, event: object) -> None:
        assert isinstance(event, bytes)
        self._out += event.upper() + b"\r\n"
        self._answered += 1
        self._asked = False

    def data_to_send(self) -> bytes:
        said, self._out, self._answered = self._out, b"", 0
        return said

    def tls_started(self, bindings: dict[str, bytes]) -> None:
        self.handshakes += 1


def written(folder: Path, text: str) -> Path:
    path = folder / "case.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_read(tmp_path: Path) -> None:
    found = load(written(tmp_path, TEXT))
    assert found.name == "case" and found.directives == {"key": "a value"} and found.closes
    assert found.phases == [
        Phase(b"hello\r\nraw\0", b"hi\r\noctets"),
        Phase(b"again\r\n", b"yes\r\n", eof=True),
    ]


@pytest.mark.parametrize("line", ["X: what", "C hello", "--ssl--", "C< nonsense(", "eof"])
def test_what_cannot_be_read(tmp_path: Path, line: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        load(written(tmp_path, line))


@pytest.mark.parametrize("name", CUTS)
def test_cuts_lose_nothing(name: str) -> None:
    data = bytes(range(256)) * 5
    pieces = list(CUTS[name](data))
    assert b"".join(pieces) == data and all(pieces)
    assert len(pieces) == {"whole": 1, "octets": len(data)}.get(name, len(pieces))


@pytest.mark.parametrize("name", CUTS)
def test_a_dialogue_that_holds(tmp_path: Path, name: str) -> None:
    lines = "".join(f"C: line {number}\nS: LINE {number}\n" for number in range(50))
    transcript = load(written(tmp_path, f"S: ready\n{lines}--tls--\nC: x\nS: X\nEOF\nCLOSE"))
    engine = Echo()
    play(transcript, engine, engine.answer, CUTS[name])
    assert engine.handshakes == 1


def test_a_failure_shows_the_dialogue(tmp_path: Path) -> None:
    engine = Echo()
    transcript = load(written(tmp_path, "S: ready\nC: one\nC: two\nS: ONE\nS: ZWEI"))
    with pytest.raises(AssertionError) as failure:
        play(transcript, engine, engine.answer, CUTS["whole"])
    assert str(failure.value).splitlines() == [
        "case, phase 0",
        "The client:",
        r"    one\r\n",
        r"    two\r\n",
        "The server:",
        r"    ready\r\n",
        r"    ONE\r\n",
        r"  - ZWEI\r\n",
        r"  + TWO\r\n",
    ]


@pytest.mark.parametrize("text", ["S: ready\nCLOSE", "S: ready\nEOF", "", "S: ready\nS: more", "S: ready\nC: one"])
def test_dialogues_that_do_not_hold(tmp_path: Path, text: str) -> None:
    engine = Echo()
    with pytest.raises(AssertionError):
        play(load(written(tmp_path, text)), engine, engine.answer, CUTS["octets"])
