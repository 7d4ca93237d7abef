"""Fuzz the header scan and the address parser: an answer or a documented error."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.message"]):
        import posthouse.message.header  # noqa: F401

from posthouse.message.address import Address, AddressError
from posthouse.message.header import count_received, delivered_to, fields, header_end
from tests.fuzz import engines


def fuzz(data: bytes) -> None:
    """Scan it as a header; parse it as an address, and what was parsed once more."""
    end = header_end(data)
    assert 0 <= end <= len(data)
    found = list(fields(data[:end]))
    assert len(found) <= data.count(b"\r\n") + 1
    assert count_received(data[:end]) <= data.count(b":")
    delivered_to(data[:end])
    try:
        address = Address.parse(data.decode("utf-8", "replace"))
    except AddressError:
        return
    assert Address.parse(str(address)) == address


if __name__ == "__main__":
    engines.run(fuzz, "none")
