"""Fuzz the SASL exchanges: a step for every response, never an exception, and nobody proves what they do not know."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol"]):
        import posthouse.protocol.sasl  # noqa: F401

from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered
from posthouse.protocol.sasl import Challenge, Exchange, Malformed, Step, decoded, mechanisms
from tests.fuzz import engines
from tests.protocol.pop3_fixture import KEYS, NONCE

_BINDINGS = {"tls-server-end-point": b"certificate"}


def fuzz(data: bytes) -> None:
    """The first octet chooses the mechanism, the second what is bound and whether a first response comes at once.

    The last word of each line is a response: in base64, as the transcripts have it, or raw. An exchange that is over is
    followed by another one.
    """
    if len(data) < 2:
        return
    bindings = _BINDINGS if data[1] & 1 else {}
    names = mechanisms(bindings=bindings, plaintext_ok=True)
    exchange: Exchange | None = None
    for line in data[2:].splitlines():
        word = line.rpartition(b" ")[2]
        raw = decoded(word)
        response = line if raw is None else raw
        if exchange is None:
            exchange = Exchange(names[data[0] % len(names)], bindings=bindings, nonce=lambda: NONCE)
            step = exchange.begin(response if data[1] & 2 else None)
        else:
            step = exchange.respond(response)
        if isinstance(step, KeysWanted):
            assert step.login
            step = exchange.provide_keys(KEYS)
            assert isinstance(step, Challenge)
        _check(step, exchange)
        if not isinstance(step, Challenge):
            exchange = None


def _check(step: Step, exchange: Exchange) -> None:
    assert isinstance(step, Challenge | PasswordOffered | LoginProven | LoginFailed | Malformed), step
    if isinstance(step, PasswordOffered):
        assert step.login and step.password
    if isinstance(step, LoginProven):  # only as RFC 7677's example and the transcripts prove it
        assert step == LoginProven("user")
    assert exchange.final.startswith(b"v=") == isinstance(step, LoginProven)


if __name__ == "__main__":
    engines.run(fuzz, "pop3")
