"""Fuzz the addresses of From and Sender, and the places of fields: an answer or the documented error."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.message"]):
        import posthouse.message.addresses
        import posthouse.message.edit  # noqa: F401

from posthouse.message.address import Address
from posthouse.message.addresses import MAX_ADDRESSES, AddressListError, MailboxAddress, parse_mailboxes
from posthouse.message.edit import placed_fields
from tests.fuzz import engines


def fuzz(data: bytes) -> None:
    """Read it as the body of a field and as a header; what was read can be written and read again."""
    _try_mailboxes(data)
    at = 0
    for field in placed_fields(data):
        assert at <= field.start < field.end <= len(data)
        assert field.value in data[field.start : field.end] and field.name == field.name.lower()
        at = field.end
        _try_mailboxes(field.value)


def _try_mailboxes(data: bytes) -> None:
    try:
        found = parse_mailboxes(data)
    except AddressListError as error:
        assert str(error).isascii()
        return
    assert len(found) <= min(MAX_ADDRESSES, data.count(b"@"))
    written = ", ".join(f"{_quoted(each.name)} <{each.address}>" for each in found)
    assert parse_mailboxes(written.encode()) == [MailboxAddress(each.name, each.address) for each in found]
    for each in found:
        assert Address.parse(str(each.address)) == each.address


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    engines.run(fuzz, "smtp")
