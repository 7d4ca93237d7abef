"""A resolver that says what a test wants it to."""

from posthouse.net.dns.interface import Answer, DnsError, Found, RecordType


class Answers:
    """See net.dns.interface.Resolver. What is not in `records` does not exist; `secure` holds for all."""

    def __init__(self, records: dict[tuple[str, RecordType], tuple[object, ...]], *, secure: bool = False) -> None:
        self.records = records
        self.secure = secure
        self.failing: set[tuple[str, RecordType]] = set()
        self.asked: list[tuple[str, RecordType]] = []

    def remembered(self, name: str, kind: RecordType) -> Answer | None:
        return None

    async def look_up(self, name: str, kind: RecordType) -> Answer:
        self.asked.append((name, kind))
        if (name, kind) in self.failing:
            raise DnsError(f"{name} {kind}: SERVFAIL")
        records = self.records.get((name, kind), ())
        return Answer(Found.RECORDS if records else Found.NO_NAME, name, records, self.secure, 0)

    async def close(self) -> None: ...
