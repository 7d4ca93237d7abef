"""The keywords of an account in memory: sets of them, by number, as long as a message has them."""

from collections.abc import Collection
from dataclasses import dataclass, field

from posthouse.mailstore.interface import (
    KEYWORD_SETS_PAGE,
    KEYWORD_SHIFT,
    MAX_KEYWORD_SETS,
    MAX_KEYWORDS,
    MAX_MESSAGE_KEYWORDS,
    SYSTEM_FLAGS,
    Marks,
    Setting,
    TooManyKeywordsError,
)

_Members = tuple[int, ...]  # keyword ids, ascending


@dataclass(slots=True)
class Keywords:
    """Names by id, sets by number."""

    next_set: int = 1
    known: dict[int, str] = field(default_factory=dict)
    sets: dict[int, _Members] = field(default_factory=dict)

    def copy(self) -> "Keywords":
        """One that changes by itself."""
        return Keywords(self.next_set, self.known.copy(), self.sets.copy())

    def names(self) -> list[str]:
        """In the order of their first use."""
        return list(self.known.values())

    def page(self, after: int) -> dict[int, tuple[str, ...]]:
        """See Mailstore.keyword_sets()."""
        numbers = sorted(number for number in self.sets if number > after)[:KEYWORD_SETS_PAGE]
        return {number: tuple(self.known[member] for member in self.sets[number]) for number in numbers}

    def fitting(self, marks: Marks) -> int:
        """The flags of a new message. Keywords that there is no room for are left out."""
        members: set[int] = set()
        for name in marks.keywords:
            if len(members) < MAX_MESSAGE_KEYWORDS and (keyword := self._keyword(name, make=True)):
                members.add(keyword)
        return int(marks.flags) & SYSTEM_FLAGS | self._number(members) << KEYWORD_SHIFT

    def changed(self, flags: int, setting: Setting, marks: Marks) -> int:
        """What flags become of a message. Raises TooManyKeywordsError."""
        named, old = int(marks.flags) & SYSTEM_FLAGS, flags & SYSTEM_FLAGS
        members = set(self.sets.get(flags >> KEYWORD_SHIFT, ()))
        keywords = {self._keyword(name, make=setting is not Setting.REMOVE) for name in marks.keywords}
        if setting is Setting.REMOVE:
            return old & ~named | self._number(members - keywords) << KEYWORD_SHIFT
        wanted = members | keywords if setting is Setting.ADD else keywords
        if 0 in keywords or len(wanted) > MAX_MESSAGE_KEYWORDS or (wanted and not (number := self._number(wanted))):
            raise TooManyKeywordsError("these are too many keywords")
        return (old | named if setting is Setting.ADD else named) | (number if wanted else 0) << KEYWORD_SHIFT

    def keep(self, used: Collection[int]) -> None:
        """Drop what is in none of the sets with these numbers, which messages have."""
        for number in self.sets.keys() - used:
            del self.sets[number]
        used = {member for members in self.sets.values() for member in members}
        for keyword in self.known.keys() - used:
            del self.known[keyword]

    def _keyword(self, name: str, *, make: bool) -> int:
        """The id of a keyword; 0 where there is none, or no room for one more."""
        for keyword, known in self.known.items():
            if known.lower() == name.lower():
                return keyword
        if not make or len(self.known) >= MAX_KEYWORDS or len(self.sets) >= MAX_KEYWORD_SETS:
            return 0
        keyword = max(self.known, default=0) + 1
        self.known[keyword] = name
        return keyword

    def _number(self, members: set[int]) -> int:
        """Of the set with these members. 0 for none of them, or when there is no room for one more set."""
        wanted = tuple(sorted(members))
        for number, known in self.sets.items():
            if known == wanted:
                return number
        if not wanted or len(self.sets) >= MAX_KEYWORD_SETS:
            return 0
        self.sets[self.next_set] = wanted
        self.next_set += 1
        return self.next_set - 1
