"""Where things stand in the data folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The files and folders of one server."""

    data: Path
    scratch: Path | None = None  # where what may be lost stands instead, while the disk of `data` has no room for it

    @property
    def card(self) -> Path:
        """The folder's name, and which parts belong to it."""
        return self.data / "store.json"

    @property
    def packs(self) -> Path:
        """The octets of messages."""
        return self.data / "packs"

    @property
    def directory(self) -> Path:
        """Domains, accounts, aliases."""
        return self.data / "directory.db"

    @property
    def mail(self) -> Path:
        """Messages, mailboxes and the queue; the octets lie in packs beside it."""
        return self.data / "posthouse.db"

    @property
    def leases(self) -> Path:
        """Who holds what right now: maildrops."""
        return (self.scratch or self.data) / "leases.db"

    @property
    def volatile(self) -> Path:
        """What may be lost with the machine: the counters of failed logins."""
        return (self.scratch or self.data) / "volatile.db"

    @property
    def index(self) -> Path:
        """What is derived from messages."""
        return (self.scratch or self.data) / "index.db"

    @property
    def destinations(self) -> Path:
        """What is known of other servers: TLS policies, certificates, counts."""
        return self.data / "destinations.db"

    @property
    def history(self) -> Path:
        """What was delivered to mailboxes recently."""
        return self.data / "history.db"

    @property
    def spool(self) -> Path:
        """Large messages while they come in."""
        return self.data / "spool"

    @property
    def bus(self) -> Path:
        """The sockets by which workers tell each other of changes."""
        return self.data / "bus"

    @property
    def tls(self) -> Path:
        """The self-signed certificate and its key."""
        return self.data / "tls"

    @property
    def dev(self) -> Path:
        """What `posthouse dev` remembers: the passwords it made."""
        return self.data / "dev.json"

    @property
    def dev_addresses(self) -> Path:
        """Whose mailboxes `posthouse dev` made; its directory has them not."""
        return self.data / "dev-addresses.jsonl"
