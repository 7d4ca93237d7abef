"""A message as a tree of parts (RFC 2045, RFC 2046), each a range of the octets it was found in."""

from dataclasses import dataclass, field

from posthouse.message.mime.fields import Parameters

DEFAULT_PARAMETERS: Parameters = ((b"charset", b"us-ascii"),)  # RFC 2045 5.2


@dataclass(slots=True)
class Part:
    """A part, or a whole message. Offsets count from the start of the octets that were scanned."""

    header: int  # where its own header starts
    body: int  # its first octet behind the header
    end: int  # behind its last octet; the line end before a boundary is the boundary's
    lines: int = 0  # line ends in the body
    type: bytes = b"text"
    subtype: bytes = b"plain"
    params: Parameters = DEFAULT_PARAMETERS
    encoding: bytes = b"7bit"
    id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    disposition: bytes | None = None
    disposition_params: Parameters = ()
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    parts: "list[Part]" = field(default_factory=list)

    @property
    def is_multipart(self) -> bool:
        """Whether its body is a row of parts."""
        return self.type.lower() == b"multipart"

    @property
    def is_message(self) -> bool:
        """Whether its body is a message, whose root is parts[0] (RFC 2046 5.2.1, RFC 6532 3.7)."""
        return self.type.lower() == b"message" and self.subtype.lower() in (b"rfc822", b"global")

    def param(self, name: bytes) -> bytes | None:
        """A parameter of the type."""
        return next((value for known, value in self.params if known == name), None)
