"""The replies an SMTP engine gives by itself, ready as bytes: what happened and, where it helps, what to do."""

from functools import lru_cache

from posthouse.message.reply import Reply
from posthouse.protocol.engine_core import ClosingReplies


def _made(code: int, enhanced: str, text: str) -> bytes:
    return Reply(code, enhanced, text).encode()


OK = _made(250, "2.0.0", "OK")
SENDER_OK = _made(250, "2.1.0", "Sender OK")
RECIPIENT_OK = _made(250, "2.1.5", "Recipient OK")
CHUNK_OK = _made(250, "2.0.0", "Chunk taken")
GO_AHEAD = _made(354, "", "Send the message, end it with CRLF.CRLF")
LOGGED_IN = _made(235, "2.7.0", "Logged in")
TLS_READY = _made(220, "2.0.0", "Ready to start TLS")
# RFC 5321 3.5.3: 252 tells nobody who exists here.
VRFY = _made(252, "2.5.0", "Cannot verify that here; send mail to it and see")
HELP = _made(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT: see RFC 5321")
HELP_WITH_AUTH = _made(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY AUTH STARTTLS QUIT: see RFC 5321")
HELP_LMTP = _made(214, "2.0.0", "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT: see RFC 2033")

TOO_MANY_RECIPIENTS = _made(452, "4.5.3", "Too many recipients; send to the rest in another transaction")

UNKNOWN = _made(500, "5.5.2", "Unknown command")
LINE_TOO_LONG = _made(500, "5.5.2", "Line too long")
RESPONSE_TOO_LONG = _made(500, "5.5.6", "Authentication response too long")  # RFC 4954 6
BARE_LF = _made(500, "5.5.2", "A line must end with CRLF, not with a bare LF")
CONTROLS = _made(500, "5.5.2", "A command must not hold control characters")
NOT_UTF8 = _made(500, "5.5.2", "A command must be ASCII, or valid UTF-8 with SMTPUTF8")
NOT_ASCII = _made(501, "5.5.4", "This command takes ASCII only")
NO_ARGUMENT = _made(501, "5.5.4", "This command takes no argument")
ARGUMENT_MISSING = _made(501, "5.5.4", "An argument is missing")
BAD_HELLO = _made(501, "5.5.4", "Give your host name or address literal")
BAD_BASE64 = _made(501, "5.5.2", "Not valid base64")
NOT_EMPTY = _made(501, "5.5.2", "An empty response was expected")
CANCELLED = _made(501, "5.7.0", "Authentication cancelled")
BAD_BDAT = _made(501, "5.5.4", "BDAT wants a number of octets, then LAST for the last chunk; closing")
NOT_IMPLEMENTED = _made(502, "5.5.1", "Command not implemented")
USE_LHLO = _made(502, "5.5.1", "This is LMTP: say LHLO")

HELLO_FIRST = _made(503, "5.5.1", "Say EHLO first")
LHLO_FIRST = _made(503, "5.5.1", "Say LHLO first")
MAIL_FIRST = _made(503, "5.5.1", "MAIL FROM comes first")
IN_TRANSACTION = _made(503, "5.5.1", "Not during a mail transaction")
BDAT_UNDER_WAY = _made(503, "5.5.1", "BDAT is under way; go on with BDAT, or RSET")
RCPT_FIRST = _made(503, "5.5.1", "RCPT TO comes first")
LOGGED_IN_ALREADY = _made(503, "5.5.1", "Logged in already")
TLS_ACTIVE = _made(503, "5.5.1", "TLS is active already")
TLS_BEFORE_LOGIN = _made(503, "5.5.1", "STARTTLS comes before AUTH")
BINARY_NEEDS_BDAT = _made(503, "5.5.1", "BODY=BINARYMIME needs BDAT")  # RFC 3030 3
NO_MECHANISM = _made(504, "5.5.4", "Mechanism not available; EHLO lists those that are")
LOGIN_FIRST = _made(530, "5.7.0", "Authentication required")
TLS_FIRST = _made(530, "5.7.0", "Must issue a STARTTLS command first")  # RFC 3207 4
ENCRYPTION_FIRST = _made(538, "5.7.11", "Encryption required for authentication; STARTTLS first")
BARE_CR_OR_LF = _made(550, "5.6.11", "The message holds a bare CR or LF; lines must end with CRLF")
TOO_LARGE = _made(552, "5.3.4", "The message is larger than this server takes; EHLO tells its SIZE")
HEADER_TOO_LARGE = _made(552, "5.3.4", "The header section is larger than this server takes")
OUT_OF_TURN = _made(554, "5.5.0", "You spoke before it was your turn; closing connection")
NO_RECIPIENTS = _made(554, "5.5.1", "No valid recipients")


def farewell(hostname: str) -> bytes:
    """The answer to QUIT. RFC 5321 4.2.2: 221 and 421 begin with the server's name."""
    return _made(221, "2.0.0", f"{hostname} closing connection")


def hanging_up(hostname: str, status: str, reason: str) -> bytes:
    """The last words to a peer that did not ask for them."""
    return _made(421, status, f"{hostname} {reason}; closing connection")


@lru_cache(16)
def closing_replies(hostname: str) -> ClosingReplies:
    """The last reply in each case of an end."""
    return ClosingReplies(
        timed_out=hanging_up(hostname, "4.4.2", "nothing came for too long"),
        stopping=hanging_up(hostname, "4.3.2", "the server is stopping"),
        revoked=hanging_up(hostname, "4.7.0", "the password has changed, or the account is gone"),
        internal_error=hanging_up(hostname, "4.3.0", "internal error"),
        too_many_errors=hanging_up(hostname, "4.7.0", "too many errors"),
        too_many_failed_logins=hanging_up(hostname, "4.7.0", "too many failed logins"),
        endless_line=hanging_up(hostname, "4.7.0", "a line without end"),
    )
