"""SCRAM proofs by many connections at once: a few are judged, and then a right one is answered as a wrong one is."""

from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from scramp import ScramClient

from tests.sessions.world import Talk, World, world

OPENINGS = {"submission": "EHLO client.test", "pop3": "", "imap": ""}
COMMANDS = {"submission": "AUTH {} {}", "pop3": "AUTH {} {}", "imap": "a AUTHENTICATE {} {}"}
WRONG = {"submission": "535 5.7.8 ", "pop3": "-ERR [AUTH] ", "imap": "a NO [AUTHENTICATIONFAILED] "}
THROTTLED = {"submission": "454 4.7.0 ", "pop3": "-ERR [LOGIN-DELAY] ", "imap": "a NO [LIMIT] "}


async def challenged(at: World, kind: str, password: str) -> tuple[Talk, str]:
    """A connection at the point where its proof is due, and that proof."""
    talk = await at.talk(kind)
    if OPENINGS[kind]:
        await talk.ask(OPENINGS[kind])
    client = ScramClient(["SCRAM-SHA-256"], "alice@example.test", password)
    first = b64encode(client.get_client_first().encode()).decode()
    answer = await talk.ask(COMMANDS[kind].format("SCRAM-SHA-256", first))
    client.set_server_first(b64decode(answer.split()[-1]).decode())
    return talk, b64encode(client.get_client_final().encode()).decode()


@pytest.mark.parametrize("kind", OPENINGS)
async def test_wrong_proofs_at_once(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path, clock=lambda: 1e9) as at:
        ready = [await challenged(at, kind, f"guess {number}") for number in range(30)]
        right = await challenged(at, kind, "secret")
        answers = [await talk.ask(proof) for talk, proof in ready]
        assert [answer.startswith(WRONG[kind]) for answer in answers] == [True] * 5 + [False] * 25
        last = await right[0].ask(right[1])
        assert last.startswith(THROTTLED[kind])
        assert set(answers[5:]) == {last}


@pytest.mark.parametrize("kind", OPENINGS)
async def test_a_right_proof_after_a_few_wrong_ones(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path, clock=lambda: 1e9) as at:
        for number in range(4):
            talk, proof = await challenged(at, kind, f"guess {number}")
            assert (await talk.ask(proof)).startswith(WRONG[kind])
        talk, proof = await challenged(at, kind, "secret")
        assert (await talk.ask(proof)).startswith(("334 ", "+ "))


@pytest.mark.parametrize("kind", OPENINGS)
async def test_a_password_that_changed_meanwhile(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path, clock=lambda: 1e9) as at:
        talk, proof = await challenged(at, kind, "secret")
        at.registry.accounts.set_password("alice@example.test", "another one")
        assert (await talk.ask(proof)).startswith(WRONG[kind])
