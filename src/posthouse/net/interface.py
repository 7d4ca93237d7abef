"""What a listener asks of a driver, and the pump, which is one, of an engine and of a session.

The protocols of mail are an engine with a session, and the pump drives them. What brings a protocol class of its own,
as HTTP does, is a driver itself: it has the same acceptance, TLS, limits and end as all others.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Protocol


class Driver(ABC):
    """Moves octets between one connection and what serves it, from the first to the last. Called on the event loop.

    None of it may wait. What it raises out of wake() or check() at the listener ends this connection and no other.
    """

    __slots__ = ()

    @abstractmethod
    def wake(self) -> None:
        """There is something to take, or the end of it; or the connection has just been let in."""

    @abstractmethod
    def flush(self) -> int:
        """Write out what is ready to go, as before a TLS handshake; returns how many octets that was."""

    @abstractmethod
    def lost(self) -> None:
        """The connection is gone, however it ended. Called once; nothing is called afterwards."""

    @abstractmethod
    def shut_down(self) -> None:
        """The server is stopping: end at once if at rest, else after the work at hand. It is cut off in the end."""

    @abstractmethod
    def check(self, now: float) -> None:
        """End the connection if the peer has let its time run out. `now` is the loop's time in seconds."""


class Engine(Protocol):
    """A protocol as a machine of bytes and events. It never waits, never reads a clock, never touches a socket."""

    @property
    def closing(self) -> bool:
        """True once the connection must end as soon as data_to_send() has been written out."""

    @property
    def patience(self) -> float:
        """Seconds the peer may now stay silent (for SMTP, RFC 5321 4.5.3.2.7)."""

    @property
    def has_more(self) -> bool:
        """Whether next_event() returned None only because it has carried out as many commands as one call may."""

    def receive_data(self, data: bytes) -> None:
        """Buffer what came. Parses nothing."""

    def receive_eof(self) -> None:
        """Note that the peer will send no more."""

    def next_event(self) -> object | None:
        """The next thing that needs an answer or is worth knowing; None: needs bytes, or the last event its answer.

        An engine that answers commands by itself also returns None once 64 KiB or more wait in data_to_send(), even if
        it has commands left: it is asked again as soon as the peer has taken them. So a peer that sends commands and
        reads nothing cannot fill the memory. And it returns None after some commands, and `has_more` then, so that a
        peer that sends many at once and reads the answers does not keep the loop.
        """

    def data_to_send(self) -> bytes:
        """Everything to be written since the last call."""

    def time_out(self) -> None:
        """The peer was silent for longer than `patience`: say so and close."""

    def shut_down(self) -> None:
        """The server is stopping: say so and close, at once if idle, else after the command at hand.

        Called a second time, at once in any case.
        """

    def fail(self) -> None:
        """A bug keeps the command at hand from being answered: say that there was one, and close at once."""


class Session(Protocol):
    """Answers the events of one engine over one connection."""

    @property
    def engine(self) -> Engine:
        """The engine this session answers."""

    def handle(self, event: object) -> Awaitable[None] | None:
        """Answer one event. Returns None when answered on the spot, else something to await first."""

    async def finish(self) -> None:
        """The connection is over, however it ended: give back leases, spools, counters."""
