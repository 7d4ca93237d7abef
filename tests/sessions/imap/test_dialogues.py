"""Every dialogue with the whole IMAP service, over each store; and that there is one for each thing we announce."""

import re
from pathlib import Path

import pytest

from tests import transcript
from tests.sessions.imap.dialogues import Dialogue, load, play
from tests.sessions.imap.fixture import house

TRANSCRIPTS = Path(__file__).parents[2] / "transcripts"
FILES = sorted((TRANSCRIPTS / "imap_sessions").glob("*.txt"))
# Where the RFCs speak of what another client does meanwhile.
_CONCURRENT = {"IDLE", "UIDPLUS", "MOVE", "SEARCHRES", "CONDSTORE", "QRESYNC", "REPLACE"}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_dialogue(path: Path, kind: str, tmp_path: Path) -> None:
    async with house(tmp_path, kind) as found:
        await play(load(path), found)


def _dialogues() -> list[Dialogue]:
    return [load(path) for path in FILES]


async def test_all_that_is_announced_has_a_dialogue(tmp_path: Path) -> None:
    """A new word of CAPABILITY needs one here, or with the engine alone."""
    async with house(tmp_path, "memory") as found:
        wire = found.connect()
        before = (await wire.line()).decode()
        wire.say(b"a LOGIN alice@example.test secret\r\n")
        behind = (await wire.line()).decode()
    announced = set()
    for line in (before, behind):
        listed = re.search(r"\[CAPABILITY ([^\]]+)\]", line)
        assert listed
        announced |= {word.partition("=")[0] if "APPENDLIMIT" in word else word for word in listed[1].split()}
    covered = set().union(*(dialogue.covered for dialogue in _dialogues()))
    for path in (TRANSCRIPTS / "imap").glob("*.txt"):
        covered |= set(transcript.load(path).directives.get("covers", "").split())
    assert announced - covered == set()


@pytest.mark.parametrize("word", sorted(_CONCURRENT))
def test_what_others_do_meanwhile_is_played(word: str) -> None:
    assert any(word in dialogue.covered and len(dialogue.clients) > 1 for dialogue in _dialogues())


def test_each_dialogue_says_what_it_is_about() -> None:
    for dialogue in _dialogues():
        assert re.match(r"# .*RFC \d+", dialogue.opening), dialogue.name
