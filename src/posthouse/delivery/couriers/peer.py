"""One connection to another mail server: the engine and the socket, driven one step at a time."""

from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import SmtpClient


class Peer:
    """A server we talk to. `host` is the name it was looked for under."""

    def __init__(self, connection: Connection, host: str, hostname: str) -> None:
        self.connection = connection
        self.host = host
        self.tls = ""  # what was agreed on, for logs and traces
        self.engine = SmtpClient(hostname)
        self.opened = connection.now()
        self.idle_since = 0.0
        self.messages = 0
        self.fleeting = False  # good for one message only

    @property
    def is_usable(self) -> bool:
        """Whether another message may be sent: it is ready, and has not hung up or spoken meanwhile."""
        if self.connection.lost or self.connection.eof or self.engine.state is not client.State.READY:
            return False
        data = self.connection.take()
        if data:
            self.engine.receive_data(data)
            return self.engine.next_event() is None and self.engine.state is client.State.READY
        return True

    async def event(self) -> client.Event:
        """Send what there is to send, then wait for what comes of it. The engine's patience is kept."""
        engine, connection = self.engine, self.connection
        while True:
            event = engine.next_event()
            connection.write(engine.data_to_send())
            if event is not None:
                return event
            due = connection.due = connection.now() + engine.patience
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
        """Say goodbye, if it is still there to hear it."""
        self.engine.quit()
        self.connection.write(self.engine.data_to_send())
        self.connection.close()

    def abort(self) -> None:
        """Hang up at once."""
        self.engine.abandon()
        self.connection.abort()
