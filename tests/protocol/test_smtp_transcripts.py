"""Every SMTP and LMTP dialogue, whole, octet by octet and cut at random."""

from pathlib import Path

import pytest

from tests.protocol.smtp_fixture import Fixture
from tests.transcript import CUTS, load, play

FOLDER = Path(__file__).parent.parent / "transcripts" / "smtp"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(path: Path, cut: str) -> None:
    transcript = load(path)
    house = Fixture(transcript.directives)
    play(transcript, house.engine, house.answer, CUTS[cut])
    kept = transcript.directives.get("messages")
    if kept is not None:
        assert len(house.messages) == int(kept)


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 40
