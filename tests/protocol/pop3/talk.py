"""A POP3 engine and somebody to talk to it, for tests that look at more than the dialogue."""

from posthouse.protocol.events import LoginRefused
from posthouse.protocol.pop3.events import MaildropContents
from posthouse.protocol.pop3.server import Pop3Server, Pop3Settings

SMALL = MaildropContents([10, 20, 30], ["a", "b", "c"])


def engine(*, secure: bool = False, **settings: bool | int | str) -> Pop3Server:
    """An engine that was greeted."""
    chosen: dict[str, bool | int | str] = {"plaintext_auth": True, **settings}
    made = Pop3Server(Pop3Settings("pop.test", **chosen), secure=secure, nonce=lambda: "nonce")  # type: ignore[arg-type]
    made.data_to_send()
    return made


def logged_in(drop: MaildropContents = SMALL) -> Pop3Server:
    """An engine in the transaction state."""
    server = engine()
    feed(server, b"USER alice\r\nPASS secret\r\n")
    server.accept_login(drop)
    server.data_to_send()
    return server


def feed(server: Pop3Server, data: bytes) -> list[object]:
    """Feed `data`; the events that come without any answer."""
    server.receive_data(data)
    return events(server)


def events(server: Pop3Server) -> list[object]:
    """All events there are."""
    return list(iter(server.next_event, None))


def ask(server: Pop3Server, line: bytes) -> bytes:
    """One command that the engine answers by itself."""
    assert all(isinstance(event, LoginRefused) for event in feed(server, line + b"\r\n"))
    return server.data_to_send()
