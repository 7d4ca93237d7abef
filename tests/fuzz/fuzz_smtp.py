"""Fuzz the SMTP and LMTP engine: never an exception, each reply well formed, the same however the bytes are cut."""

import re

if __name__ == "__main__":  # before the engine is imported: what is imported here is watched
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol", "posthouse.message"]):
        import posthouse.protocol.smtp.server  # noqa: F401

from tests.fuzz import engines
from tests.protocol.smtp_house import House

_WORLDS: tuple[dict[str, str], ...] = (
    {},
    {"variant": "submission", "secure": "yes", "bindings": "yes"},
    {"variant": "lmtp"},
    {"variant": "submission", "plaintext_auth": "yes"},
    {"max_size": "50", "max_recipients": "2", "max_header": "30"},
)
_REPLIES = re.compile(rb"(?:[2345]\d\d[ -][^\r\n]*\r\n)+")


def fuzz(data: bytes) -> None:
    """The first octet chooses the world, the second the cut."""
    if len(data) < 2:
        return
    said = engines.try_input(lambda: House(_WORLDS[data[0] % len(_WORLDS)]), data[2:], data[1])
    assert _REPLIES.fullmatch(said), said


if __name__ == "__main__":
    engines.run(fuzz, "smtp")
