"""Fuzz what name servers say: an answer, or one of two documented errors."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.net.dns"]):
        import posthouse.net.dns.wire  # noqa: F401

from posthouse.net.dns.interface import DnsError, RecordType
from posthouse.net.dns.wire import ReplyRefusedError, question, read, understand
from tests.fuzz import engines

KINDS = tuple(RecordType)


def fuzz(data: bytes) -> None:
    """Take it for the answer to a question; behind the question's own octets it gets further."""
    kind = KINDS[len(data) % len(KINDS)]
    header = question("x.test", kind, 7, edns=False)
    for response in (data, b"\0\7\x81\xa0\0\1\0\2\0\1\0\0" + header[12:] + data):
        message = read(response, "x.test", kind, 7)
        if message is None:
            continue
        try:
            said = understand(message, "x.test", kind)
        except (DnsError, ReplyRefusedError):
            continue
        assert said.ttl >= 0
        assert len(said.records) <= 200


if __name__ == "__main__":
    engines.run(fuzz, "none")
