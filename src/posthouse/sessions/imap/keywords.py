"""The keywords of an account as one session knows them: names, and the sets of them that stand in the flags."""

from posthouse.mailstore.interface import KEYWORD_SETS_PAGE, KEYWORD_SHIFT, MAX_KEYWORDS, MessageReader

_SETS_KEPT = 2 * 50_000  # sets whose messages are gone are forgotten when there are more


class KnownKeywords:
    """Grows as the session meets new ones."""

    __slots__ = ("_account", "_last", "_store", "_texts", "names", "sets")

    def __init__(self, store: MessageReader, account: int) -> None:
        self._store = store
        self._account = account
        self._last = 0  # sets up to this number are known
        self.names: list[str] = []  # as the client knows them
        self.sets: dict[int, tuple[str, ...]] = {}

    @property
    def limit(self) -> int:
        """Flags from here on have keywords that are not known."""
        return (self._last + 1) << KEYWORD_SHIFT

    @property
    def are_full(self) -> bool:
        """Whether the account can have no other keyword."""
        return len(self.names) >= MAX_KEYWORDS

    async def read(self) -> None:
        """Read what messages of the account have now."""
        await self._read_sets()
        self.names = await self._store.keywords(self._account)

    async def learn(self) -> bool:
        """Read what is new; whether there is a keyword among it that the client has not heard of."""
        known = self._last
        await self._read_sets()
        heard = {name.lower() for name in self.names}
        used = {name for number, names in self.sets.items() if number > known for name in names}
        if all(name.lower() in heard for name in used):
            return False
        self.names = await self._store.keywords(self._account)
        return True

    def of(self, flags: int) -> tuple[str, ...]:
        """The keywords in these flags."""
        return self.sets.get(flags >> KEYWORD_SHIFT, ())

    def holding(self, keyword: str) -> frozenset[int]:
        """The numbers of the sets that have it."""
        wanted = keyword.lower()
        return frozenset(number for number, names in self.sets.items() if wanted in map(str.lower, names))

    async def _read_sets(self) -> None:
        if len(self.sets) > _SETS_KEPT:
            self.sets.clear()
            self._last = 0
        while page := await self._store.keyword_sets(self._account, self._last):
            self.sets.update(page)
            self._last = max(page)
            if len(page) < KEYWORD_SETS_PAGE:
                break
