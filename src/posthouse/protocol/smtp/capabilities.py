"""What EHLO and LHLO announce, and the word by which Received names the protocol."""

from collections.abc import Sequence

from posthouse.protocol.smtp.settings import MAX_HOLD, SmtpSettings, Variant


def hello_reply(settings: SmtpSettings, *, starttls: bool, mechanisms: Sequence[str]) -> bytes:
    """The reply to EHLO or LHLO. `starttls` and `mechanisms` say what is to be had at this moment."""
    lines = [
        settings.hostname,
        "PIPELINING",  # RFC 2920
        f"SIZE {settings.max_size}",  # RFC 1870
        "8BITMIME",  # RFC 6152
        "SMTPUTF8",  # RFC 6531
        "ENHANCEDSTATUSCODES",  # RFC 2034
        "CHUNKING",  # RFC 3030
        "BINARYMIME",  # RFC 3030
        "DSN",  # RFC 3461
        f"LIMITS RCPTMAX={settings.max_recipients}",  # RFC 9422
        "HELP",
    ]
    if settings.hold_until is not None:
        lines.append(f"FUTURERELEASE {MAX_HOLD} {settings.hold_until()}")  # RFC 4865 3
    if starttls:
        lines.append("STARTTLS")  # RFC 3207
    if mechanisms:
        lines.append("AUTH " + " ".join(mechanisms))  # RFC 4954
    last = lines.pop()
    return ("".join(f"250-{line}\r\n" for line in lines) + f"250 {last}\r\n").encode()


def protocol_name(variant: Variant, *, extended: bool, utf8: bool, secure: bool, authenticated: bool) -> str:
    """RFC 3848, and RFC 6531 4.3 for a transaction with SMTPUTF8. HELO knows no marks: it is SMTP."""
    if not extended:
        return "SMTP"
    plain, international = ("LMTP", "UTF8LMTP") if variant is Variant.LMTP else ("ESMTP", "UTF8SMTP")
    return f"{international if utf8 else plain}{'S' if secure else ''}{'A' if authenticated else ''}"
