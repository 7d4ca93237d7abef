"""A reply as SMTP and LMTP speak it: code, enhanced status, text (RFC 5321 4.2, RFC 2034, RFC 3463)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    r"""One answer to a peer, and the one outcome type at every border that ends in a reply.

    `code` is the three-digit reply code, `enhanced` the status "class.subject.detail" or "" where none
    belongs (RFC 2034 3: not in greetings, EHLO and 3xx), `text` one or more lines joined by "\n".
    """

    code: int
    enhanced: str
    text: str

    @property
    def is_positive(self) -> bool:
        """True for 2xx and 3xx."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """True for 4xx: the peer may try again later."""
        return 400 <= self.code < 500

    def encode(self) -> bytes:
        """The bytes on the wire. A line break inside the text makes a multi-line reply, never a second reply."""
        status = f"{self.enhanced} " if self.enhanced else ""
        lines = self.text.replace("\r", "").split("\n")
        first = "".join(f"{self.code}-{status}{line}\r\n" for line in lines[:-1])
        return f"{first}{self.code} {status}{lines[-1]}\r\n".encode()
