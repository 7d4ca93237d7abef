"""Envelopes that were shown a moment ago: clients ask for the same ones again, and before the indexer has come by."""

from collections.abc import Mapping, Sequence

from posthouse.mailstore.index.records import Shown

MAX_OCTETS = 4 << 20
_OVERHEAD = 200  # octets beside the envelope itself


class Envelopes:
    """Messages never change and their ids are never given twice, so nothing here is ever wrong."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Shown] = {}  # by account and message, the oldest first
        self._octets = 0

    def those(self, account: int, messages: Sequence[int]) -> dict[int, Shown]:
        """What is known of these messages; only the envelope is sure to be right."""
        known = self._known
        return {message: known[account, message] for message in messages if (account, message) in known}

    def keep(self, account: int, shown: Mapping[int, Shown]) -> None:
        """Remember them, and let the oldest go."""
        for message, each in shown.items():
            if (account, message) not in self._known:
                self._known[account, message] = Shown(each.envelope, b"", "")
                self._octets += len(each.envelope) + _OVERHEAD
        while self._octets > MAX_OCTETS:
            oldest = next(iter(self._known))
            self._octets -= len(self._known.pop(oldest).envelope) + _OVERHEAD
