"""Envelopes that were shown a moment ago: clients ask for the same ones again, and before the indexer has come by."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from posthouse.mailstore.index.records import MessageSummary

MAX_OCTETS = 4 << 20
_OVERHEAD = 200  # octets beside the envelope itself


class Envelopes:
    """Messages never change and their ids are never given twice, so nothing here is ever wrong."""

    def __init__(self) -> None:
        # By account and message, the oldest first. A plain dict looks for its oldest among all that was taken out.
        self._known: OrderedDict[tuple[int, int], MessageSummary] = OrderedDict()
        self._octets = 0

    def those(self, account: int, messages: Sequence[int]) -> dict[int, MessageSummary]:
        """What is known of these messages; only the envelope is sure to be right."""
        known = self._known
        return {message: known[account, message] for message in messages if (account, message) in known}

    def keep(self, account: int, shown: Mapping[int, MessageSummary]) -> None:
        """Remember them, and let the oldest go."""
        for message, each in shown.items():
            if (account, message) not in self._known:
                self._known[account, message] = MessageSummary(each.envelope, b"", "")
                self._octets += len(each.envelope) + _OVERHEAD
        while self._octets > MAX_OCTETS:
            _, oldest = self._known.popitem(last=False)
            self._octets -= len(oldest.envelope) + _OVERHEAD
