"""How a POP3 service presents itself, and the limits it keeps."""

from dataclasses import dataclass

# Octets with CRLF: at least 255 (RFC 2449 4), and PASS with the longest password an account may have, see
# docs/decisions/021. An AUTH command may have 12,288 (RFC 5034 4 by way of RFC 4954 4).
MAX_COMMAND = len("PASS ") + 1024 + 2
MAX_ERRORS = 50  # refused commands of one connection
PATIENCE = 600.0  # seconds, RFC 1939 3: at least ten minutes


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """One service. `hostname` is the name we greet with."""

    hostname: str
    implementation: str = "Posthouse"  # what CAPA says we are (RFC 2449 6.9)
    stls: bool = True
    plaintext_auth: bool = False  # allow logins without TLS; only dev on loopback
    scram: bool = True  # not where the directory has no keys, and can only look at a password as it is
    login_delay: int = 0  # seconds between two logins, RFC 2449 6.5
    expire: str = "NEVER"  # days that messages are kept, RFC 2449 6.7
