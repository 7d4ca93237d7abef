"""The SMTP engine against the contract of engines: offers, news, the end; the dialogues stand in tests/transcripts."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.address import Address
from posthouse.message.reply import Reply
from posthouse.protocol.engine_core import MAX_UNSENT
from posthouse.protocol.events import (
    MessageChunk,
    PasswordOffered,
    SessionEnded,
    StartTlsOffered,
)
from posthouse.protocol.smtp.events import (
    CommandRefused,
    DataOffered,
    EnvelopeCleared,
    MessageDropped,
    MessageEnded,
    RecipientOffered,
    RefusalScope,
    SenderOffered,
)
from posthouse.protocol.smtp.server import COMMANDS, SmtpServer, SmtpSettings, Variant
from posthouse.protocol.smtp.states import OUT_OF_ORDER, SmtpState
from tests.protocol.smtp_fixture import Fixture

KEPT = Reply(250, "2.0.0", "Kept")
ENVELOPE = b"MAIL FROM:<a@client.test>\r\nRCPT TO:<alice@example.test>\r\n"


def engine(variant: Variant = Variant.RELAY, **settings: bool | int) -> SmtpServer:
    made = SmtpServer(SmtpSettings("mx.test", variant, **settings), nonce=lambda: "nonce")  # type: ignore[arg-type]
    made.data_to_send()
    return made


def feed(server: SmtpServer, data: bytes) -> list[object]:
    """Feed `data`; the events that come without any answer."""
    server.receive_data(data)
    return events(server)


def events(server: SmtpServer) -> list[object]:
    return list(iter(server.next_event, None))


def in_data(server: SmtpServer) -> None:
    """Bring it to where the message comes."""
    hello = b"LHLO c\r\n" if server._settings.variant is Variant.LMTP else b"EHLO c\r\n"
    in_rcpt(server, hello)
    feed(server, b"DATA\r\n")
    server.accept_data()
    server.data_to_send()


def in_rcpt(server: SmtpServer, hello: bytes = b"EHLO c\r\n") -> None:
    feed(server, hello + b"MAIL FROM:<a@client.test>\r\n")
    server.accept_sender()
    feed(server, b"RCPT TO:<alice@example.test>\r\n")
    server.accept_recipient()
    server.data_to_send()


def codes(server: SmtpServer) -> list[int]:
    return [int(line[:3]) for line in server.data_to_send().splitlines()]


def test_the_banner_waits_from_the_start() -> None:
    server = SmtpServer(SmtpSettings("mx.test", greeting="at your service"), nonce=lambda: "n")
    assert server.data_to_send() == b"220 mx.test ESMTP at your service\r\n"
    assert server.data_to_send() == b""
    assert server.next_event() is None
    assert server.patience >= 300  # RFC 5321 4.5.3.2.7


def test_nothing_is_parsed_while_an_offer_is_open() -> None:
    server = engine()
    offers = feed(server, b"EHLO c\r\n" + ENVELOPE + b"DATA\r\nhi\r\n.\r\nQUIT\r\n")
    assert len(offers) == 1 and isinstance(offers[0], SenderOffered)
    assert server.next_event() is None
    server.accept_sender()
    (offer,) = events(server)
    assert isinstance(offer, RecipientOffered) and offer.recipient.address == Address("alice", "example.test")
    server.accept_recipient()
    assert [type(event) for event in events(server)] == [DataOffered]
    server.accept_data()
    chunk, ended = events(server)
    assert chunk == MessageChunk(b"hi\r\n") and ended == MessageEnded(4, False, False)
    server.accept_message(KEPT)
    assert events(server) == [EnvelopeCleared(), SessionEnded("QUIT")]
    # All replies to one pipelined write leave together (RFC 2920).
    assert server.data_to_send().count(b"\r\n") == 12 + 5
    assert server.closing


def test_content_is_handed_on_without_waiting_for_its_end() -> None:
    server = engine()
    in_data(server)
    big = b"x" * 65_534 + b"\r\n"
    assert feed(server, big) == [MessageChunk(big[:-2])]
    assert feed(server, big) == [MessageChunk(b"\r\n" + big[:-2])]
    ended = feed(server, b".\r\n")
    assert ended == [MessageChunk(b"\r\n"), MessageEnded(131_072, False, False)]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda server: server.accept_sender(), "SenderOffered"),
        (lambda server: server.accept_recipient(), "RecipientOffered"),
        (SmtpServer.accept_data, "DataOffered"),
        (SmtpServer.accept_login, "LoginProven"),
        (lambda server: server.accept_message(KEPT), "MessageEnded"),
        (lambda server: server.reject(KEPT), "SenderOffered"),
        (lambda server: server.refuse_login(KEPT), "KeysWanted"),
        (lambda server: server.tls_started({}), "StartTlsOffered"),
    ],
)
def test_an_answer_without_its_offer_is_a_bug_of_the_caller(answer: Callable[[SmtpServer], None], name: str) -> None:
    with pytest.raises(RuntimeError, match=name):
        answer(engine())


def test_an_answer_that_comes_too_late_is_nobodys_fault() -> None:
    server = engine()
    in_data(server)
    feed(server, b"hi\r\n.\r\n")
    server.shut_down()
    assert not server.closing
    server.shut_down()
    assert server.closing
    assert [type(event) for event in events(server)] == [MessageDropped, SessionEnded]
    server.accept_message(KEPT)
    assert codes(server) == [421]
    assert events(server) == []


def test_replies_of_lmtp_must_match_the_recipients() -> None:
    server = engine(Variant.LMTP)
    in_data(server)
    feed(server, b"hi\r\n.\r\n")
    with pytest.raises(ValueError, match="2 replies, 1 expected"):
        server.finish_message([KEPT, KEPT])
    server.finish_message([Reply(452, "4.2.2", "Full")])
    assert codes(server) == [452]
    with pytest.raises(ValueError, match="expected"):
        engine().finish_message([KEPT])


@pytest.mark.parametrize("answer", ["accept", "reject"])
def test_one_answer_for_all_recipients_of_lmtp(answer: str) -> None:
    server = engine(Variant.LMTP)
    in_rcpt(server, b"LHLO c\r\n")
    feed(server, b"RCPT TO:<bob@example.test>\r\n")
    server.accept_recipient()
    feed(server, b"BDAT 2 LAST\r\n\r\n")
    server.accept_data()
    assert isinstance(events(server)[-1], MessageEnded)
    server.data_to_send()
    server.accept_message(KEPT) if answer == "accept" else server.reject(Reply(451, "4.3.0", "Later"))
    assert codes(server) == ([250, 250] if answer == "accept" else [451, 451])


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        (b"a\nb\r\n", "bare CR or LF"),
        (b"x" * 2000, "larger than this server takes"),
    ],
)
def test_a_message_is_dropped_as_soon_as_it_is_at_fault(said: bytes, dropped: str) -> None:
    server = engine(max_size=1000)
    in_data(server)
    (event,) = feed(server, said)
    assert isinstance(event, MessageDropped) and dropped in event.reason
    assert feed(server, b"more and more " * 1000) == []
    assert server.data_to_send() == b""  # the refusal waits for the end
    refused, cleared = feed(server, b"\r\n.\r\n")
    assert isinstance(refused, CommandRefused) and refused.scope is RefusalScope.MESSAGE
    assert cleared == EnvelopeCleared() and codes(server)[0] >= 550


def test_draining_keeps_nothing_and_has_an_end() -> None:
    server = engine(max_size=1000)
    in_data(server)
    found: list[object] = []
    for _ in range(300):
        found += feed(server, b"x" * 65_536)
        assert len(server._core.lines._data) + sum(map(len, server._core.lines._parts)) == 0
    assert [type(event) for event in found] == [MessageDropped, CommandRefused, SessionEnded]
    assert server.closing and codes(server) == [421]


def test_a_vanishing_client_drops_the_message() -> None:
    server = engine()
    in_data(server)
    feed(server, b"half a mess")
    server.receive_eof()
    assert events(server) == [MessageDropped("the client hung up"), SessionEnded("the client hung up")]
    assert server.closing and server.data_to_send() == b""


def test_commands_before_the_end_of_input_are_still_answered() -> None:
    server = engine()
    server.receive_data(b"NOOP\r\nNOOP\r\nNO")
    server.receive_eof()
    assert events(server) == [SessionEnded("the client hung up")]
    assert codes(server) == [250, 250]


@pytest.mark.parametrize("stage", ["fresh", "ready", "chunks", "response"])
def test_an_idle_engine_shuts_down_at_once(stage: str) -> None:
    server = engine(auth=True, plaintext_auth=True)
    if stage == "ready":
        feed(server, b"EHLO c\r\n")
    elif stage == "response":
        feed(server, b"EHLO c\r\nAUTH PLAIN\r\n")
    elif stage == "chunks":
        in_rcpt(server)
        feed(server, b"BDAT 2\r\nhi")
        server.accept_data()
        events(server)
    server.data_to_send()
    server.shut_down()
    assert server.closing and codes(server) == [421]
    assert isinstance(events(server)[-1], SessionEnded)


def test_a_busy_engine_finishes_the_command_at_hand() -> None:
    server = engine()
    in_data(server)
    server.shut_down()
    assert not server.closing
    feed(server, b"hi\r\n.\r\nMAIL FROM:<b@client.test>\r\n")
    assert not server.closing
    server.accept_message(KEPT)
    assert [type(event) for event in events(server)] == [EnvelopeCleared, SessionEnded]
    assert codes(server) == [250, 421]


def test_shutting_down_in_a_login() -> None:
    server = engine(auth=True, plaintext_auth=True)
    feed(server, b"EHLO c\r\nAUTH LOGIN YWxpY2U=\r\nc2VjcmV0\r\n")
    server.data_to_send()
    server.shut_down()
    server.accept_login()
    assert [type(event) for event in events(server)] == [SessionEnded]
    assert codes(server) == [235, 421]


def test_a_bug_is_told_as_one() -> None:
    server = engine()
    in_data(server)
    server.fail()
    assert server.data_to_send().endswith(b"421 4.3.0 mx.test internal error; closing connection\r\n")
    assert [type(event) for event in events(server)] == [MessageDropped, CommandRefused, SessionEnded]


def test_time_out() -> None:
    server = engine()
    in_data(server)
    server.time_out()
    assert [type(event) for event in events(server)] == [MessageDropped, SessionEnded]
    assert codes(server) == [421] and server.closing
    server.time_out()
    assert server.data_to_send() == b""


def test_hanging_up() -> None:
    server = engine()
    feed(server, b"EHLO c\r\nMAIL FROM:<a@client.test>\r\n")
    server.data_to_send()
    server.hang_up(Reply(421, "4.7.0", "Not with you"))
    assert server.closing and server.data_to_send() == b"421 4.7.0 Not with you\r\n"
    refused, ended = events(server)
    assert isinstance(refused, CommandRefused) and refused.scope is RefusalScope.CONNECTION
    assert ended == SessionEnded("Not with you")
    assert feed(server, b"NOOP\r\n") == [] and server.data_to_send() == b""


def test_an_engine_waits_for_a_peer_that_does_not_read() -> None:
    server = engine()
    server.receive_data(b"NOOP\r\n" * 20_000)
    said = 0
    while True:
        assert server.next_event() is None
        piece = server.data_to_send()
        if not piece:
            break
        assert len(piece) < MAX_UNSENT + 1024
        said += piece.count(b"\r\n")
    assert said == 20_000


def test_a_long_message_of_small_pieces_keeps_nothing() -> None:
    server = engine()
    in_data(server)
    for _ in range(2000):
        for event in feed(server, b".\r\n."):
            assert isinstance(event, MessageChunk | MessageEnded)
        if server._core.offer is not None:
            break
        assert len(server._core.lines._data) == 0


def test_starttls_forgets_what_was_said() -> None:
    server = engine()
    assert [type(event) for event in feed(server, b"EHLO plain\r\nSTARTTLS\r\nMAIL FROM:<x@y.test>\r\n")] == [
        StartTlsOffered
    ]
    assert server.hello == "plain" and server.protocol == "ESMTP"
    server.data_to_send()
    server.tls_started({"tls-server-end-point": b"x"})
    assert events(server) == [] and server.data_to_send() == b""
    assert server.hello == ""
    feed(server, b"EHLO secure\r\n")
    assert server.hello == "secure" and server.protocol == "ESMTPS"


@pytest.mark.parametrize(
    ("said", "name"),
    [(b"b\xfcro", "b?ro"), ("büro.test".encode(), "b??ro.test"), ("例え".encode(), "??????"), (b"\x85\xa0x y", "??x")],
)
@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
def test_names_beyond_ascii_are_taken_and_shown_octet_by_octet(verb: bytes, said: bytes, name: str) -> None:
    server = engine()
    feed(server, verb + b" " + said + b"\r\n")
    assert server.data_to_send().startswith(b"250")
    assert server.hello == name


def test_trace_words() -> None:
    server = engine(auth=True, plaintext_auth=True)
    feed(server, b"HELO c\r\n")
    assert server.protocol == "SMTP" and not server.authenticated
    (offer,) = feed(server, b"EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")
    assert offer == PasswordOffered("alice", "secret")
    server.accept_login()
    assert server.authenticated and server.protocol == "ESMTPA"
    feed(server, b"MAIL FROM:<a@client.test> SMTPUTF8\r\n")
    assert server.protocol == "UTF8SMTPA"
    server.reject(Reply(550, "5.7.1", "No"))
    assert server.protocol == "ESMTPA"


def test_rset_in_the_middle_of_chunks() -> None:
    server = engine()
    in_rcpt(server)
    feed(server, b"BDAT 2\r\nhi")
    server.accept_data()
    assert events(server) == [MessageChunk(b"hi")]
    assert feed(server, b"RSET\r\n") == [MessageDropped("RSET"), EnvelopeCleared()]


def test_the_envelope_is_cleared_only_where_there_is_one() -> None:
    server = engine()
    assert feed(server, b"EHLO c\r\nRSET\r\nEHLO c\r\n") == []
    in_rcpt(server, b"")
    assert feed(server, b"EHLO c\r\n") == [EnvelopeCleared()]


def test_the_table_names_every_state_of_every_command() -> None:
    assert set(OUT_OF_ORDER) == set(SmtpState)
    for verb, command in COMMANDS.items():
        assert verb.isupper() and command.states
    for state in SmtpState:
        house = Fixture({})
        server = house.engine
        for line in _way_to(state):
            server.receive_data(line)
            while (event := server.next_event()) is not None:
                house.answer(event)
        assert server._transaction.state is state
        server.data_to_send()
        for verb in (b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA", b"STARTTLS", b"AUTH PLAIN"):
            if state not in COMMANDS[verb.split()[0]].states:
                server.receive_data(verb + b"\r\n")
                refused = server.next_event()
                assert isinstance(refused, CommandRefused) and refused.verb.encode() == verb.split()[0]
                assert server.data_to_send().decode().rstrip() == refused.reply
                assert refused.reply.startswith("503 5.5.1 ")


def _way_to(state: SmtpState) -> list[bytes]:
    steps = {
        SmtpState.FRESH: [],
        SmtpState.READY: [b"EHLO c\r\n"],
        SmtpState.MAIL: [b"EHLO c\r\n", b"MAIL FROM:<a@client.test>\r\n"],
        SmtpState.RCPT: [b"EHLO c\r\n", ENVELOPE],
        SmtpState.BDAT: [b"EHLO c\r\n", ENVELOPE, b"BDAT 2\r\nhi"],
        SmtpState.FAILED: [b"EHLO c\r\n", ENVELOPE, b"BDAT 3\r\nh\ni"],
    }
    return steps[state]


_WORDS = st.sampled_from([
    b"EHLO c\r\n", b"LHLO c\r\n", ENVELOPE, b"DATA\r\n", b"BDAT 3\r\n", b"BDAT 3 LAST\r\n", b"RSET\r\n", b"QUIT\r\n",
    b"AUTH PLAIN\r\n", b"AUTH LOGIN YQ==\r\n", b"YQ==\r\n", b"*\r\n", b"\r\n", b"\n", b"\r", b".", b".\r\n",
    b"\r\n.\r\n", b"abc",
])  # fmt: skip


@given(
    st.lists(st.one_of(_WORDS, st.binary(max_size=20)), max_size=30).map(b"".join),
    st.sampled_from([{}, {"variant": "lmtp"}, {"variant": "submission", "plaintext_auth": "yes"}, {"max_size": "5"}]),
)
def test_a_reply_whatever_comes(data: bytes, directives: dict[str, str]) -> None:
    house = Fixture(directives)
    server = house.engine
    said = server.data_to_send()
    for octet in data:
        server.receive_data(bytes([octet]))
        while (event := server.next_event()) is not None:
            house.answer(event)
        said += server.data_to_send()
    lines = said.splitlines(keepends=True)
    for line in lines:
        assert line[:1] in b"2345" and line[:3].isdigit() and line[3:4] in b" -" and line.endswith(b"\r\n")
    refusals = "\r\n".join(event.reply for event in house.refused).encode()
    assert set(refusals.splitlines()) == {line.rstrip() for line in lines if line[:1] in b"45"}


def test_refusals_are_reported_with_their_command() -> None:
    """Of each kind: by the engine, by the session, of a message at its end, in a login; never with a secret."""
    server = SmtpServer(SmtpSettings("mx.test", auth=True, plaintext_auth=True), nonce=lambda: "nonce")
    found = feed(server, b"EHLO c\r\nNONSENSE\r\nMAIL FROM:<@>\r\n")
    found += feed(server, b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")
    server.refuse_login(Reply(535, "5.7.8", "Wrong"))
    found += feed(server, b"auth\tPLAIN AGFsaWNlAHNlY3JldA==\r\n")
    found += feed(server, b"a line with a bare \n in it\r\nMAIL FROM:<b@client.test>\r\n")
    server.reject(Reply(550, "5.7.1", "Not with you"))
    found += feed(server, b"MAIL FROM:<a@client.test>\r\n")
    server.accept_sender()
    found += feed(server, b"RCPT TO:<nobody@example.test>\r\n")
    server.reject(Reply(550, "5.1.1", "There is none"))
    found += feed(server, b"RCPT TO:<alice@example.test>\r\n")
    server.accept_recipient()
    found += feed(server, b"DATA\r\n")
    server.accept_data()
    found += feed(server, b"Subject: bare\nLF\r\n.\r\nGET / HTTP/1.1\r\n")
    refused = [event for event in found if isinstance(event, CommandRefused)]
    assert [(event.scope.name, event.verb, event.line, event.reply[:3]) for event in refused] == [
        ("COMMAND", "", "NONSENSE", "500"),
        ("COMMAND", "MAIL", "MAIL FROM:<@>", "501"),
        ("LOGIN", "AUTH", "AUTH PLAIN", "535"),
        ("COMMAND", "", "auth PLAIN", "500"),
        ("COMMAND", "", "", "500"),
        ("COMMAND", "", "", "500"),
        ("SENDER", "MAIL", "MAIL FROM:<b@client.test>", "550"),
        ("RECIPIENT", "RCPT", "RCPT TO:<nobody@example.test>", "550"),
        ("MESSAGE", "DATA", "DATA", "550"),
        ("CONNECTION", "", "GET / HTTP/1.1", "421"),
    ]


def test_in_lmtp_a_refusal_names_what_was_refused() -> None:
    server = engine(Variant.LMTP)
    in_rcpt(server, b"LHLO c\r\n")
    feed(server, b"RCPT TO:<bob@example.test>\r\n")
    server.accept_recipient()
    feed(server, b"DATA\r\n")
    server.accept_data()
    feed(server, b"x\r\n.\r\n")
    server.finish_message([KEPT, Reply(552, "5.2.2", "Full")])
    (refused, _) = events(server)
    assert isinstance(refused, CommandRefused) and refused.reply == "552 5.2.2 Full"


@pytest.mark.parametrize("end", ["time_out", "shut_down"])
def test_an_end_that_nobody_asked_for_is_no_refusal(end: str) -> None:
    server = engine()
    feed(server, b"EHLO c\r\n")
    getattr(server, end)()
    assert b"421 " in server.data_to_send()
    assert [type(event) for event in events(server)] == [SessionEnded]


# Speaking out of turn.

OUT_OF_TURN = b"554 5.5.0 "


@pytest.mark.parametrize(
    "said",
    [
        b"EHLO c\r\nMAIL FROM:<a@client.test>\r\n",
        b"HELO c\r\nMAIL FROM:<a@client.test>\r\n",
        b"NOOP\r\nEHLO c\r\n",
        b"HELO c\r\nQ",
        b"XYZ\r\nEHLO c\r\n",
    ],
)
def test_commands_before_the_reply_to_ehlo(said: bytes) -> None:
    server = engine(in_turn=True)
    assert [type(event) for event in feed(server, said)] == [CommandRefused, SessionEnded]
    assert server.data_to_send().startswith(OUT_OF_TURN) and server.closing


def test_commands_before_the_greeting() -> None:
    server = SmtpServer(SmtpSettings("mx.test", in_turn=True), nonce=lambda: "nonce")
    assert [type(event) for event in feed(server, b"EHLO c\r\n")] == [CommandRefused, SessionEnded]
    assert server.data_to_send().split(b"\r\n")[1].startswith(OUT_OF_TURN)


def test_without_ehlo_there_is_no_pipelining() -> None:
    server = engine(in_turn=True)
    feed(server, b"HELO c\r\n")
    server.data_to_send()
    feed(server, b"NOOP\r\nNOOP\r\n")
    assert server.data_to_send().startswith(OUT_OF_TURN) and server.closing


@pytest.mark.parametrize("late", [False, True])
def test_content_before_the_354(late: bool) -> None:
    """It may come with DATA, or while that is looked at."""
    server = engine(in_turn=True)
    feed(server, b"EHLO c\r\n")
    in_rcpt(server, b"")
    news = feed(server, b"DATA\r\n" if late else b"DATA\r\nSubject: x\r\n")
    if late:
        assert news == [DataOffered()]
        server.receive_data(b"Subject: x\r\n")
        server.accept_data()
    assert server.data_to_send().startswith(OUT_OF_TURN) and server.closing


def test_the_rest_of_pipelining_is_as_it_was() -> None:
    server = engine(in_turn=True)
    feed(server, b"EHLO c\r\n")
    feed(server, ENVELOPE + b"DATA\r\n")
    server.accept_sender()
    events(server)
    server.accept_recipient()
    assert events(server) == [DataOffered()]
    server.accept_data()
    feed(server, b"Subject: x\r\n\r\n.\r\nNOOP\r\nRSET\r\nQUIT\r\n")
    server.accept_message(KEPT)
    events(server)
    assert b"250 2.0.0 Kept\r\n250 2.0.0 OK\r\n250 2.0.0 OK\r\n221" in server.data_to_send()


def test_bdat_may_be_pipelined() -> None:
    server = engine(in_turn=True)
    feed(server, b"EHLO c\r\n")
    in_rcpt(server, b"")
    feed(server, b"BDAT 2\r\nxyBDAT 1 LAST\r\nz")
    server.accept_data()
    assert [type(event) for event in events(server)] == [MessageChunk, MessageChunk, MessageEnded]


def test_plain_text_behind_starttls() -> None:
    server = engine(in_turn=True)
    feed(server, b"EHLO c\r\n")
    server.data_to_send()
    feed(server, b"STARTTLS\r\nEHLO c\r\n")
    assert server.data_to_send().startswith(OUT_OF_TURN) and server.closing


def test_who_has_logged_in_may_hurry() -> None:
    server = engine(Variant.SUBMISSION, in_turn=True, auth=True, plaintext_auth=True)
    feed(server, b"EHLO c\r\n")
    feed(server, b"AUTH PLAIN AGEAYg==\r\n")
    server.accept_login()
    server.data_to_send()
    feed(server, b"EHLO c\r\nNOOP\r\n")
    assert server.data_to_send().endswith(b"250 2.0.0 OK\r\n")
