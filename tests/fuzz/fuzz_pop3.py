"""Fuzz the POP3 engine: never an exception, each answer well formed, the same however the bytes are cut."""

if __name__ == "__main__":  # before the engine is imported: what is imported here is watched
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol"]):
        import posthouse.protocol.pop3.server  # noqa: F401

from tests.fuzz import engines
from tests.protocol.pop3_house import House

_WORLDS: tuple[dict[str, str], ...] = (
    {},
    {"secure": "yes", "bindings": "yes"},
    {"plaintext_auth": "no"},
    {"drop": "empty"},
    {"drop": "damaged"},
    {"refuse": "IN-USE another session has this maildrop open"},
    {"drop": "odd"},
    {"quit": "fails"},
)


def fuzz(data: bytes) -> None:
    """The first octet chooses the world, the second the cut."""
    if len(data) < 2:
        return
    said = engines.try_input(lambda: House(_WORLDS[data[0] % len(_WORLDS)]), data[2:], data[1])
    assert said.startswith(b"+OK ")


if __name__ == "__main__":
    engines.run(fuzz, "pop3")
