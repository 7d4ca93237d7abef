"""Fuzz the SASL exchanges: a step for every response, never an exception."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol"]):
        import posthouse.protocol.sasl  # noqa: F401

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import KeysWanted
from posthouse.protocol.sasl import Challenge, Exchange, mechanisms
from tests.fuzz import engines

_BINDINGS = {"tls-server-end-point": b"digest"}
_NAMES = mechanisms(bindings=_BINDINGS, plaintext_ok=True)
_KEYS = ScramKeys(bytes(16), 4096, bytes(32), bytes(32))


def fuzz(data: bytes) -> None:
    """The first octet chooses the mechanism; a line is a response."""
    if not data:
        return
    exchange = Exchange(_NAMES[data[0] % len(_NAMES)], bindings=_BINDINGS, nonce=lambda: "nonce")
    step: object = exchange.begin(None)
    for response in data[1:].split(b"\n"):
        if isinstance(step, KeysWanted):
            step = exchange.provide_keys(_KEYS)
        if not isinstance(step, Challenge):
            return
        step = exchange.respond(response)


if __name__ == "__main__":
    engines.run(fuzz, "none")
