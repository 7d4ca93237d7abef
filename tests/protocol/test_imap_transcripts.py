"""Every IMAP dialogue that the engine carries on alone, whole, octet by octet and cut at random."""

from pathlib import Path

import pytest

from tests.protocol.imap_fixture import WORDS, Fixture
from tests.transcript import CUTS, load, play

FOLDER = Path(__file__).parent.parent / "transcripts" / "imap"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(path: Path, cut: str) -> None:
    transcript = load(path)
    for phase in transcript.phases:
        for short, long in WORDS.items():
            phase.server = phase.server.replace(short, long)
    house = Fixture(transcript.directives)
    play(transcript, house.engine, house.answer, CUTS[cut])
    wanted = transcript.directives.get("dropped")
    if wanted is not None:
        assert house.dropped == int(wanted)
    kept = transcript.directives.get("kept")
    if kept is not None:
        assert len(house.messages) == int(kept)


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 40
