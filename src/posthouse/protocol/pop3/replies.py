"""What a POP3 engine says by itself: one line of status, ready as bytes."""

from posthouse.protocol import http
from posthouse.protocol.engine_core import ClosingReplies


def ok(text: str) -> bytes:
    """A positive answer."""
    return f"+OK {text}\r\n".encode()


def err(text: str, code: str = "") -> bytes:
    """A negative answer; `code` is a response code (RFC 2449 8), or "" for none."""
    return (f"-ERR [{code}] {text}\r\n" if code else f"-ERR {text}\r\n").encode()


END = b".\r\n"  # of an answer of many lines (RFC 1939 3)
CAPABILITIES = ok("capabilities follow")
MECHANISMS = ok("mechanisms follow")
NAME_TAKEN = ok("now PASS")
BEGIN_TLS = ok("begin TLS")
UTF8 = ok("UTF-8 it is")
STILL_HERE = ok("still here")
GOODBYE = ok("goodbye")

LINE_TOO_LONG = err("line too long")
BAD_LINE = err("a line ends with CRLF and holds no CR or NUL")
UNKNOWN = err("unknown command")
# RFC 3206 4: not [AUTH], for the name and the password may well be right.
TLS_FIRST = err("logins need TLS here: use STLS first, or port 995")
TLS_ACTIVE = err("TLS is active already")
NO_TLS = err("TLS is not offered here")
USER_FIRST = err("USER comes first")
NO_NAME = err("USER wants a name")
PASSWORD_NOT_UTF8 = err("the password is not UTF-8")
NO_MECHANISM = err("unknown mechanism; CAPA lists those there are")
BAD_BASE64 = err("not base64")
CANCELLED = err("cancelled")
NOT_EMPTY = err("an empty line was expected, goodbye")
NO_MESSAGE = err("no such message")
MARKED_DELETED = err("that message is marked deleted")
BAD_TOP = err("TOP wants a message and a number of lines")
NO_WEB_SERVER = err(f"{http.REFUSAL}, goodbye")

CLOSING = ClosingReplies(
    timed_out=b"",  # RFC 1939 3: nothing is removed, and nothing is said
    stopping=err("the server is stopping, try again later", "SYS/TEMP"),
    revoked=err("the password has changed, or the account is gone", "AUTH"),  # as without QUIT, nothing is removed
    internal_error=err("internal error, goodbye", "SYS/TEMP"),
    too_many_errors=err("too many errors, goodbye"),
    too_many_failed_logins=b"",
    endless_line=err("line too long, goodbye"),
)
