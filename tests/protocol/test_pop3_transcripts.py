"""Every POP3 dialogue, whole, octet by octet and cut at random."""

from pathlib import Path

import pytest

from tests.protocol.pop3_fixture import Fixture
from tests.transcript import CUTS, load, play

FOLDER = Path(__file__).parent.parent / "transcripts" / "pop3"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(path: Path, cut: str) -> None:
    transcript = load(path)
    house = Fixture(transcript.directives)
    play(transcript, house.engine, house.answer, CUTS[cut])
    wanted = transcript.directives.get("deleted")
    if wanted is not None:
        deleted = "nothing" if house.deleted is None else ",".join(map(str, house.deleted)) or "none"
        assert deleted == wanted


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 30
