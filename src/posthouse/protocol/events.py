"""Events that several engines share.

An event is either an *offer* (the session must call one answer method of the engine before the engine parses
on) or *news* (nothing to answer). Each docstring says which, and names the answers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartTlsOffered:
    """Offer. The reply to STARTTLS or STLS stands in data_to_send; the handshake comes next.

    Answers: tls_started(bindings) once the handshake is done; the engine has dropped what was buffered and
    starts from the beginning (RFC 3207 4.2, RFC 2595 4). A failed handshake just ends the connection.
    """


@dataclass(frozen=True, slots=True)
class PasswordOffered:
    """Offer, from USER and PASS or SASL PLAIN and LOGIN (RFC 4616). Answers: accept_login(...), refuse_login(...)."""

    login: str
    password: str
    authzid: str = ""  # who to act as; "" or the same as login, or the session refuses


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Offer, from SCRAM (RFC 5802 5): keys of this login. Answers: provide_keys(ScramKeys), refuse_login(...)."""

    login: str


@dataclass(frozen=True, slots=True)
class LoginProven:
    """Offer, from SCRAM: the client's proof held. Answers: accept_login(...), refuse_login(...)."""

    login: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """Offer, from SCRAM: the client's proof did not hold. Answer: refuse_login(...).

    What is answered is the session's to say, for a login that is throttled gets the same answer with a right proof.
    """

    login: str


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """News: the engine has refused a login by itself, before anything was checked; `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class MessageChunk:
    """News: the next octets of the message that comes in, dot-stuffing removed. The next event is asked for once they
    are taken.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """News: QUIT, too many errors, end of input; `reason` is for the log. Nothing follows."""

    reason: str
