"""SMTP as client (RFC 5321), without input or output: what another server says goes in, what we say to it comes out.

The states and what a caller may do in each stand in client_states.py, the transaction in client_transaction.py;
client_core.py says which reply belongs to which command, and what becomes of a peer that is out of step.
"""

import base64

from posthouse.message.reply import Reply
from posthouse.protocol.smtp.client_core import ClientCore
from posthouse.protocol.smtp.client_events import (
    Broken,
    ClientLoginRefused,
    ContentWanted,
    Event,
    Finished,
    OutgoingTransaction,
    Ready,
    Refused,
    TlsGranted,
    TlsRefused,
)
from posthouse.protocol.smtp.client_states import SmtpClientState
from posthouse.protocol.smtp.client_transaction import MAX_BURST, TransactionSender

__all__ = [
    "MAX_BURST",
    "Broken",
    "ClientLoginRefused",
    "ContentWanted",
    "Event",
    "Finished",
    "OutgoingTransaction",
    "Ready",
    "Refused",
    "SmtpClient",
    "SmtpClientState",
    "TlsGranted",
    "TlsRefused",
]

# RFC 5321 4.3.2, RFC 3207 4, RFC 4954 4, RFC 3030 2: what means success, and nothing else does.
_OK = frozenset({250})
_READY = frozenset({220})  # the greeting, STARTTLS
_LOGIN = frozenset({235, 334})
_NOTHING = frozenset[int]()


class SmtpClient:
    """One connection to another server: receive_data, next_event and so on as in net.interface.Engine.

    send_content(data) gives the next octets of the message, CRLF at every line end, at most a MiB or so at once;
    end_content(data) the last ones, which are held back when the peer has said what it was not asked.
    """

    __slots__ = (
        "_core",
        "_credentials",
        "_greeting",
        "_hostname",
        "_tls",
        "_transaction",
        "data_to_send",
        "end_content",
        "extensions",
        "next_event",
        "receive_data",
        "receive_eof",
        "send_content",
        "time_out",
    )

    def __init__(self, hostname: str) -> None:
        """`hostname` is what we call ourselves."""
        core = self._core = ClientCore(self._greeted, _READY)
        transaction = self._transaction = TransactionSender(core)
        self.receive_data, self.receive_eof, self.time_out = core.receive_data, core.receive_eof, core.time_out
        self.next_event, self.data_to_send = core.next_event, core.data_to_send
        self.send_content, self.end_content = transaction.send_content, transaction.end_content
        self._hostname = hostname
        self._tls = False
        self._credentials: list[bytes] = []
        self._greeting = ""
        self.extensions: dict[str, str] = {}

    @property
    def state(self) -> SmtpClientState:
        """Where the conversation stands."""
        return self._core.state

    @property
    def closing(self) -> bool:
        """True once the connection must end as soon as data_to_send() has been written out."""
        return self._core.closing

    @property
    def patience(self) -> float:
        """Seconds the peer has for its next reply, or for taking a block of content (RFC 5321 4.5.3.2)."""
        return self._core.patience

    @property
    def heard(self) -> bool:
        """Whether a reply has come since the transaction began."""
        return self._core.heard

    @property
    def replies(self) -> int:
        """How many replies have come in all."""
        return self._core.replies

    @property
    def is_in_step(self) -> bool:
        """While content is sent: the peer has said nothing that it was not asked, as far as is known now."""
        return self._transaction.is_in_step

    @property
    def content_refused(self) -> bool:
        """While content is sent in chunks: the peer has refused one, the rest may be left out."""
        return self._transaction.content_refused

    def greeted_as(self, hostname: str) -> bool:
        """Whether the peer has greeted with that name (RFC 5321 4.2: the first word)."""
        return self._greeting.lower() == hostname.lower()

    # What the caller says.

    def start_tls(self) -> None:
        """Ask for TLS (RFC 3207); only when STARTTLS was announced."""
        self._core.expect(SmtpClientState.READY)
        self._core.state = SmtpClientState.TLS
        self._core.command("STARTTLS", self._tls_answered, _READY)

    def tls_started(self) -> None:
        """The handshake is done. RFC 3207 4.2: all that was known of the peer is forgotten."""
        if self._core.state is not SmtpClientState.TLS or self._tls:
            raise RuntimeError("TLS started unasked")
        self._tls = True
        self._send_hello()

    def login(self, name: str, password: str) -> None:
        """Log in by AUTH (RFC 4954), PLAIN or LOGIN, whichever was announced."""
        self._core.expect(SmtpClientState.READY)
        self._core.state = SmtpClientState.LOGIN
        offered = self.extensions.get("AUTH", "").split()
        if "PLAIN" in offered or "LOGIN" not in offered:
            secret = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
            self._core.command(f"AUTH PLAIN {secret}", self._login_answered, _LOGIN)
        else:
            self._credentials = [base64.b64encode(word.encode()) for word in (name, password)]
            self._core.command("AUTH LOGIN", self._login_answered, _LOGIN)

    def transact(self, transaction: OutgoingTransaction) -> None:
        """Begin to send a message. Raises ValueError for an argument that holds a line break or NUL."""
        self._transaction.begin(transaction, self.extensions)

    def abandon(self) -> None:
        """The content cannot be sent to its end: nothing but hanging up keeps half a message from being taken."""
        self._core.out.clear()
        self._core.close()

    def quit(self) -> None:
        """Say goodbye; the reply is not waited for long."""
        if self._core.state is not SmtpClientState.CLOSED:
            if self._core.nothing_unread:
                self._core.out.append(b"QUIT\r\n")
            self._core.close()

    # What the peer says.

    def _greeted(self, reply: Reply) -> None:
        if reply.code != 220:
            self._refuse(reply)
            return
        self._greeting = reply.text.partition(" ")[0].partition("\n")[0]
        self._send_hello()

    def _send_hello(self) -> None:
        self._core.state = SmtpClientState.HELLO
        self.extensions = {}
        self._core.command(f"EHLO {self._hostname}", self._hello_answered, _OK)

    def _hello_answered(self, reply: Reply) -> None:
        if reply.code == 250:
            for line in reply.text.split("\n")[1:]:
                keyword, _, arguments = line.strip().upper().partition(" ")
                if keyword.startswith("AUTH="):  # an old spelling that some servers still add
                    keyword, arguments = "AUTH", keyword[5:] + " " + arguments
                self.extensions.setdefault(keyword, arguments)
            self._become_ready()
        elif 500 <= reply.code < 555 and not self._tls:
            # RFC 5321 3.2: a server that does not know EHLO; after TLS it must.
            self._core.command(f"HELO {self._hostname}", self._helo_answered, _OK)
        else:
            self._refuse(reply)

    def _helo_answered(self, reply: Reply) -> None:
        if reply.code == 250:
            self._become_ready()
        else:
            self._refuse(reply)

    def _become_ready(self) -> None:
        self._core.state = SmtpClientState.READY
        self._core.emit(Ready(self.extensions))

    def _refuse(self, reply: Reply) -> None:
        self.quit()
        self._core.emit(Refused(reply))

    def _tls_answered(self, reply: Reply) -> None:
        if reply.code != 220:
            self._core.state = SmtpClientState.READY
            self._core.emit(TlsRefused(reply))
        elif not self._core.nothing_unread:
            # What came in plain text behind the 220 was written by someone in between (CVE-2021-33515 and its kin).
            self._core.break_off("it spoke in plain text where TLS was to start")
        else:
            self._core.emit(TlsGranted())

    def _login_answered(self, reply: Reply) -> None:
        if reply.code == 334 and self._credentials:
            self._core.send(self._credentials.pop(0) + b"\r\n", self._login_answered, _LOGIN)
        elif reply.code == 235 and self._credentials:
            self._core.break_off("it granted a login before the password was sent")
        elif reply.code == 235:
            self._become_ready()
        elif reply.code == 334:
            self._core.send(b"*\r\n", self._login_answered, _NOTHING)  # RFC 4954 4: give up this exchange
        else:
            self._credentials = []
            self._core.state = SmtpClientState.READY
            self._core.emit(ClientLoginRefused(reply))
