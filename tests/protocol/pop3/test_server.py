"""The table of commands: each in each state; CAPA; and a reply, never an exception, whatever a peer sends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.protocol.pop3.server import COMMANDS
from posthouse.protocol.pop3.states import LEGAL, Pop3State
from tests.fuzz.fuzz_pop3 import fuzz
from tests.protocol.pop3.talk import ask, engine, events, feed, logged_in

KEYWORDS = [*sorted(COMMANDS), b"APOP", b"XTND"]


@pytest.mark.parametrize("keyword", sorted(COMMANDS))
@pytest.mark.parametrize("state", [Pop3State.AUTHORIZATION, Pop3State.TRANSACTION])
def test_every_command_in_every_state(keyword: bytes, state: Pop3State) -> None:
    """Where it does not belong it is refused and changes nothing; where it does, that is never the reason."""
    server = engine() if state is Pop3State.AUTHORIZATION else logged_in()
    found = feed(server, keyword.lower() + b" 1\r\n")
    refused = server.data_to_send() == b"-ERR %b is not valid in this state\r\n" % keyword
    assert refused == (state not in LEGAL[keyword])
    if refused:
        assert found == [] and server._state is state


def test_every_command_has_its_states() -> None:
    assert set(COMMANDS) == set(LEGAL)


def test_nothing_is_legal_while_quit_is_under_way() -> None:
    assert not any(Pop3State.UPDATE in states for states in LEGAL.values())


def test_there_is_no_apop() -> None:
    server = engine()
    assert b"APOP" not in COMMANDS
    assert ask(server, b"APOP alice c4c9334bac560ecc979e58001b3e22fb") == b"-ERR unknown command\r\n"


@pytest.mark.parametrize(
    ("secure", "plaintext", "stls", "expected"),
    [
        (False, True, True, {"USER", "SASL", "STLS"}),
        (False, False, True, {"STLS"}),
        (False, False, False, set()),
        (True, False, True, {"USER", "SASL"}),
    ],
)
def test_capabilities_before_the_login(secure: bool, plaintext: bool, stls: bool, expected: set[str]) -> None:
    said = ask(engine(secure=secure, plaintext_auth=plaintext, stls=stls), b"CAPA").decode().split("\r\n")
    assert said[0].startswith("+OK") and said[-2:] == [".", ""]
    names = {line.split()[0] for line in said[1:-2]}
    always = {"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE", "LOGIN-DELAY", "UTF8"}
    assert names == always | expected | {"IMPLEMENTATION"}
    assert "UTF8 USER" in said


def test_capabilities_after_the_login() -> None:
    said = ask(logged_in(), b"CAPA").decode()
    assert "TOP\r\n" in said and "UIDL\r\n" in said
    assert not any(name in said for name in ("SASL", "STLS", "\r\nUSER"))


def test_settings_are_shown() -> None:
    said = ask(engine(implementation="Post-1", login_delay=60, expire="30"), b"CAPA")
    assert (
        b"\r\nLOGIN-DELAY 60\r\n" in said and b"\r\nEXPIRE 30\r\n" in said and b"\r\nIMPLEMENTATION Post-1\r\n" in said
    )


LINE = st.builds(
    lambda keyword, rest, end: keyword + rest + end,
    st.sampled_from(KEYWORDS),
    st.sampled_from([b"", b" 1", b" 2 0", b" 9", b" alice", b" secret", b" PLAIN", b" LOGIN ", b" \xff"])
    | st.binary(max_size=9),
    st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b""]),
)
LOGIN = b"USER alice\r\nPASS secret\r\n"


@given(st.integers(0, 255), st.integers(0, 255), st.booleans(), st.lists(LINE | st.binary(max_size=40), max_size=12))
@settings(max_examples=300)
def test_a_reply_and_never_an_exception(world: int, cut: int, login: bool, lines: list[bytes]) -> None:
    """fuzz() holds what must be true: well-formed answers, every cut the same, the end at the end of input."""
    fuzz(bytes([world, cut]) + (LOGIN if login else b"") + b"".join(lines))


@given(st.lists(st.sampled_from([b"STAT", b"NOOP", b"LIST", b"UIDL", b"FOO", b"DELE 1", b"LIST 9", b"RSET", b"CAPA"])))
def test_one_answer_for_each_command(commands: list[bytes]) -> None:
    server = logged_in()
    server.receive_data(b"".join(command + b"\r\n" for command in commands))
    said = b""
    while events(server) == [] and (piece := server.data_to_send()):
        said += piece
    if not server.closing:
        assert sum(line[:3] in (b"+OK", b"-ER") for line in said.split(b"\r\n")) == len(commands)
