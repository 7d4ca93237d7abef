"""One connection to another mail server: the engine and the socket, driven one step at a time."""

from posthouse.message.reply import Reply
from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import SmtpClient
from posthouse.queue.outcome import Remote, Transient


class RemoteServer:
    """A server we talk to. `host` is the name it was looked for under."""

    def __init__(self, connection: Connection, host: str, hostname: str) -> None:
        self.connection = connection
        self.host = host
        self.tls = ""  # what was agreed on, for logs and traces
        self.engine = SmtpClient(hostname)
        self.opened = connection.now()
        self.idle_since = 0.0
        self.messages = 0
        self.single_use = False  # good for one message only

    @property
    def remote(self) -> Remote:
        """Whom we speak to, for outcomes."""
        return Remote(self.host, self.connection.peer_ip, self.tls)

    @property
    def is_usable(self) -> bool:
        """Whether another message may be sent: it is ready, and has not hung up or spoken meanwhile."""
        if self.connection.lost or self.connection.eof or self.engine.state is not client.SmtpClientState.READY:
            return False
        self._hear()
        return self.engine.next_event() is None and self.engine.state is client.SmtpClientState.READY

    @property
    def takes_content(self) -> bool:
        """Whether content may still be written: it has not hung up, nor sent anything out of turn."""
        self._hear()
        if self.connection.lost or self.connection.eof:
            self.engine.receive_eof()
        return self.engine.is_in_step and self.engine.state is client.SmtpClientState.CONTENT

    def _hear(self) -> None:
        """Hand over what has arrived, without waiting."""
        while data := self.connection.take():
            self.engine.receive_data(data)

    async def event(self) -> client.Event:
        """Send what there is to send, then wait for what comes of it. The engine's patience is kept.

        It is kept for each reply, not for each octet of it: a server that trickles does not get more time.
        """
        engine, connection = self.engine, self.connection
        asked, due = -1, 0.0
        while True:
            event = engine.next_event()
            connection.write(engine.data_to_send())
            if event is not None:
                return event
            if engine.replies != asked:
                asked, due = engine.replies, connection.now() + engine.patience
            connection.due = due
            try:
                engine.receive_data(await connection.more())
            except ConnectionGoneError:
                if connection.now() >= due:
                    engine.time_out()
                else:
                    engine.receive_eof()
            connection.due = 0.0

    async def flush(self) -> None:
        """Write out, and wait while the peer is behind. Raises ConnectionGoneError."""
        connection = self.connection
        connection.write(self.engine.data_to_send())
        connection.due = connection.now() + self.engine.patience
        await connection.drain()
        connection.due = 0.0

    def close(self) -> None:
        """Send QUIT, if it is still there and it is our turn; else hang up."""
        if self.engine.state is client.SmtpClientState.CLOSED:
            self.connection.abort()
            return
        self.engine.quit()
        self.connection.write(self.engine.data_to_send())
        self.connection.close()

    def abort(self) -> None:
        """Hang up at once."""
        self.engine.abandon()
        self.connection.abort()


def conversation_failed(server: RemoteServer, event: client.Event) -> Transient:
    """The outcome when a conversation has ended before its time: the last reply of the server, or that it broke off."""
    if isinstance(event, client.Broken) and event.reply is not None:
        return Transient(event.reply, server.remote)
    text = f"The conversation with {server.host} failed: {reason_of(event)}"
    return Transient(Reply(451, "4.4.2", text), server.remote, spoken=False)


def reason_of(event: client.Event) -> str:
    """Why a conversation did not go on."""
    return event.reason if isinstance(event, client.Broken) else type(event).__name__
