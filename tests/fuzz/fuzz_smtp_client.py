"""Fuzz SMTP as client: whatever another server says, an event or silence, bounded; never a second command."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol"]):
        import posthouse.protocol.smtp.client  # noqa: F401

from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import OutgoingTransaction, SmtpClient, SmtpClientState
from posthouse.protocol.smtp.remote_reply import MAX_LINE, MAX_REPLY
from tests.fuzz import engines

VERBS = (b"EHLO ", b"HELO ", b"MAIL ", b"RCPT ", b"DATA", b"BDAT ", b"RSET", b"QUIT", b"STARTTLS", b"AUTH ", b"*", b".")


def fuzz(data: bytes) -> None:
    """Feed it piece by piece to a client that wants to send one message."""
    engine = SmtpClient("me.test")
    pieces = data.split(b"\xff\x00") or [b""]
    for piece in pieces:
        engine.receive_data(piece)
        for _ in range(1000):
            event = engine.next_event()
            if event is None:
                break
            _act(engine, event, len(data))
        said = engine.data_to_send()
        for line in said.split(b"\r\n"):
            assert not line or line.startswith(VERBS) or line in (b"Subject: x", b"y"), line
        if engine.state is SmtpClientState.CLOSED:
            return
        assert len(engine._core._reader._data) <= MAX_LINE + len(piece), "what was read is kept"
        assert engine._core._reader._octets <= MAX_REPLY
    engine.receive_eof()
    assert isinstance(engine.next_event(), client.Broken)


def _act(engine: SmtpClient, event: object, seed: int) -> None:
    match event:
        case client.Ready() if "STARTTLS" in engine.extensions and seed % 3 == 0:
            engine.start_tls()
        case client.Ready() if "AUTH" in engine.extensions and seed % 3 == 1:
            engine.extensions.pop("AUTH")
            engine.login("name", "password")
        case client.Ready() | client.Finished() | client.TlsRefused() | client.ClientLoginRefused():
            if engine.state is SmtpClientState.READY:
                chunked = "CHUNKING" in engine.extensions
                engine.transact(OutgoingTransaction("a@x.test", ["b@y.test", "c@y.test"], chunked=chunked))
        case client.TlsGranted():
            engine.tls_started()
        case client.ContentWanted():
            engine.end_content(b"Subject: x\r\n\r\ny\r\n")


if __name__ == "__main__":
    engines.run(fuzz, "none")
