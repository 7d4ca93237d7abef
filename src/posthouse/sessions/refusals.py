"""What is refused on a connection: a line in the log with the reason, and news to an observer, if there is one."""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from posthouse.net.connection import Connection
from posthouse.protocol.smtp.events import CommandRefused, RefusalScope

# Called with each SMTP command that is refused ("" if it could not be read; no secrets) and the reply.
OnRefusal = Callable[[str, str], None]

# Of logins, messages and connections other lines tell more: "login refused", "message", "connection ended".
_LINES = {
    RefusalScope.COMMAND: "command refused",
    RefusalScope.SENDER: "sender refused",
    RefusalScope.RECIPIENT: "recipient refused",
}


class Refusals:
    """Of one connection. `service` is its name in the log."""

    def __init__(
        self, log: FilteringBoundLogger, connection: Connection, service: str, observer: OnRefusal | None = None
    ) -> None:
        self._log = log
        self._connection = connection
        self._observer = observer
        self.service = service

    def note(self, event: CommandRefused, **fields: object) -> None:
        """A command got a reply of 4xx or 5xx; `fields` are what its line in the log says beside the reply."""
        line = _LINES.get(event.scope)
        if line is not None:
            self.log(line, **fields, reply=event.reply)
        if self._observer is not None:
            self._observer(event.line, event.reply)

    def log(self, event: str, **fields: object) -> None:
        """A line about anything that did not come to be."""
        connection = self._connection
        self._log.info(event, connection=connection.id, service=self.service, client=connection.peer_ip, **fields)
