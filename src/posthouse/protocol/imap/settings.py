"""How an IMAP service presents itself, and the limits it keeps."""

from dataclasses import dataclass

MAX_LINE = 64 << 10  # octets of a command line with CRLF; RFC 7162 4 wants at least 8,192
MAX_LITERAL = 64 << 10  # octets of a literal that is an argument and no message
MAX_LITERAL_UNKNOWN = 4096  # the same, before login
MAX_ARGUMENTS = 512 << 10  # octets of all lines and literals of one command
MAX_SKIPPED = 1 << 20  # octets of refused literals that are thrown away before we hang up
MAX_DEPTH = 64  # levels of search keys
MAX_ERRORS = 50  # refused commands of one connection in a row
PATIENCE_UNKNOWN = 60.0  # seconds, before login
PATIENCE = 1830.0  # seconds, RFC 9051 5.4: at least 30 minutes


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """One service. `hostname` is the name we greet with."""

    hostname: str
    version: str = ""  # what ID says
    starttls: bool = True
    plaintext_auth: bool = False  # allow logins without TLS; only dev on loopback
    scram: bool = True  # not where the directory has no keys, and can only look at a password as it is
    append_limit: int = 50 << 20  # octets of a message, RFC 7889
