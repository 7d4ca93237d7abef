"""A message that is in memory as a body for the mailstore."""

import re
from collections.abc import Iterator

from posthouse.mailstore.digests import new_digest
from posthouse.mailstore.interface import Traits

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class MemoryBody:
    """See mailstore.interface.Body."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.octets = len(data)
        self.digest = new_digest(data).digest()
        self.traits = Traits.NONE if data.isascii() else Traits.EIGHT_BIT
        if data.startswith(b".") or b"\n." in data:
            self.traits |= Traits.HAS_LEADING_DOTS
        if not data.endswith(b"\r\n"):
            self.traits |= Traits.NO_FINAL_CRLF
        if _BARE.search(data):
            self.traits |= Traits.BARE_CR_OR_LF

    def chunks(self) -> Iterator[bytes]:
        """See Body."""
        yield self._data
