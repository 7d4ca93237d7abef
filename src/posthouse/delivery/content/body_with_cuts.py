"""A body with pieces of its head left out, such as Bcc: read through, nothing copied."""

from collections.abc import Iterator, Sequence

from posthouse.delivery.content.slices import in_slices
from posthouse.mailstore.digests import new_digest
from posthouse.mailstore.interface import Body, Traits


async def trim(body: Body, cuts: Sequence[tuple[int, int]]) -> "BodyWithCuts":
    """A body without these pieces: (start, end) in octets, ascending, apart from one another."""
    hasher = new_digest()
    async for piece in in_slices(_kept(body, cuts)):
        hasher.update(piece)
    return BodyWithCuts(body, cuts, hasher.digest())


class BodyWithCuts:
    """See mailstore.interface.Body, and trim()."""

    def __init__(self, body: Body, cuts: Sequence[tuple[int, int]], digest: bytes) -> None:
        self._body = body
        self._cuts = tuple(cuts)
        self.octets = body.octets - sum(end - start for start, end in cuts)
        self.digest = digest

    @property
    def traits(self) -> Traits:
        """See Body."""
        return self._body.traits

    def chunks(self) -> Iterator[bytes]:
        """See Body."""
        return _kept(self._body, self._cuts)


def _kept(body: Body, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """What lies between the cuts."""
    at = 0
    cuts = list(ranges)
    for piece in body.chunks():
        end = at + len(piece)
        kept = at
        while cuts and cuts[0][0] < end:
            start, stop = cuts[0]
            if start > kept:
                yield piece[kept - at : start - at]
            kept = min(max(stop, kept), end)
            if stop > end:
                break
            cuts.pop(0)
        if kept < end:
            yield piece[kept - at :] if kept > at else piece
        at = end


def without(data: bytes, cuts: Sequence[tuple[int, int]]) -> bytes:
    """The same for octets in memory."""
    for start, end in reversed(cuts):
        data = data[:start] + data[end:]
    return data


def tail(body: Body, octets: int) -> Iterator[bytes]:
    """The pieces of a body behind its first `octets`."""
    for piece in body.chunks():
        if octets >= len(piece):
            octets -= len(piece)
        else:
            yield piece[octets:] if octets else piece
            octets = 0
