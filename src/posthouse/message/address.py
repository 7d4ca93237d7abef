"""Mail addresses: the Mailbox of RFC 5321 4.1.2, with the UTF-8 of RFC 6531 and the domains of IDNA."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """local-part@domain. `local` is unquoted, `domain` lower case with U-labels, or an address literal "[...]".

    An empty domain is allowed for one name only: the reserved <postmaster> (RFC 5321 4.1.1.3).
    """

    local: str
    domain: str
