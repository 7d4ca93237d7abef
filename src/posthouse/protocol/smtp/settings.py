"""How an SMTP service presents itself, and the limits it keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

MAX_ERRORS = 50  # refused commands of one connection
MAX_HOLD = 30 * 86400  # seconds that a message may be held, RFC 4865 3
PATIENCE = 300.0  # seconds, RFC 5321 4.5.3.2.7: at least five minutes


class Variant(Enum):
    """What kind of service this is."""

    RELAY = "relay"  # port 25
    SUBMISSION = "submission"  # ports 587 and 465, RFC 6409
    LMTP = "lmtp"  # RFC 2033


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """One service. `hostname` is the name we greet with."""

    hostname: str
    variant: Variant = Variant.RELAY
    max_size: int = 50 << 20  # octets of a message
    max_recipients: int = 1000  # of one message; RFC 5321 4.5.3.1.8: at least 100
    max_unknown: int = 20  # recipients of one connection that do not exist; past these we hang up
    max_header: int = 256 << 10  # octets of the header section
    starttls: bool = True
    auth: bool = False
    plaintext_auth: bool = False  # allow AUTH without TLS; only dev on loopback
    scram: bool = True  # not where the directory has no keys, and can only look at a password as it is
    greeting: str = "Posthouse"
    bare_lf: bool = False  # lines of DATA may end with LF alone, as old devices send them
    in_turn: bool = False  # hang up on clients that speak before it is their turn, unless they have logged in
    hold_until: Callable[[], str] | None = (
        None  # the latest time a message may be held to (RFC 4865), as RFC 3339 has it
    )

    @property
    def max_drained(self) -> int:
        """Octets of a refused message that are still read, so that the peer sees why; past these we hang up."""
        return 4 * self.max_size + (16 << 20)

    @property
    def max_recipient_octets(self) -> int:
        """Octets of all RCPT commands of one transaction that were taken: RFC 5321 4.5.3.1.3 gives each path 256."""
        return 256 * self.max_recipients

    @property
    def max_attempts(self) -> int:
        """RCPT commands of one transaction that were refused; past these we hang up."""
        return 10 * self.max_recipients
