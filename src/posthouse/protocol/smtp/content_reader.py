"""A message on its way in: what DATA or BDAT brings, held against the limits, and the reason why it is refused."""

from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.content import BareLfDataReader, ChunkReader, DataReader, HeaderGuard
from posthouse.protocol.smtp.settings import SmtpSettings


class ContentReader:
    """Counts and checks, keeps nothing. `fault` is the reply that will refuse the message, as bytes.

    Which fault wins does not depend on how the octets were cut: too large, then the header section, then bare breaks.
    """

    __slots__ = ("_guard", "_max_size", "_skips", "binary", "chunks", "data", "fault", "octets")

    def __init__(self, settings: SmtpSettings, *, binary: bool) -> None:
        self._max_size = settings.max_size
        self._guard = HeaderGuard(settings.max_header)
        self._skips = False  # nothing that may still come changes the fault
        self.data = BareLfDataReader() if settings.bare_lf else DataReader()
        self.chunks = ChunkReader()
        self.binary = binary  # BODY=BINARYMIME
        self.fault: bytes | None = None
        self.octets = 0

    def refuse(self, fault: bytes) -> None:
        """Whatever comes is read and thrown away."""
        self.fault = fault
        self._skips = True

    def take_data(self, data: bytes) -> bytes:
        """Octets of DATA -> content to hand on; see DataReader for the end."""
        if self._skips:
            self.octets += self.data.skip(data)
            return b""
        return self._check(self.data.feed(data), self.data.bare_cr_or_lf)

    def begin_chunk(self, octets: int, *, last: bool) -> None:
        """A BDAT command announces `octets` more."""
        self.chunks.begin(octets, last=last)
        if not self._skips and self.octets + octets > self._max_size:
            self.refuse(replies.TOO_LARGE)

    def take_chunk(self, block: bytes) -> bytes:
        """Octets of the chunk at hand -> content to hand on."""
        if self._skips:
            self.chunks.left -= len(block)
            self.octets += len(block)
            return b""
        self.chunks.feed(block)
        return self._check(block, self.chunks.bare_cr_or_lf)

    def finish_chunks(self) -> None:
        """The last chunk is complete."""
        if not self._skips:
            self.chunks.finish()
            self._check(b"", self.chunks.bare_cr_or_lf)

    def _check(self, block: bytes, bare_cr_or_lf: bool) -> bytes:
        self.octets += len(block)
        if self.octets > self._max_size:
            self.refuse(replies.TOO_LARGE)
        elif self.fault is not replies.HEADER_TOO_LARGE:
            if not self._guard.admits(block):
                self.fault = replies.HEADER_TOO_LARGE
            elif bare_cr_or_lf and not self.binary:
                self.fault = replies.BARE_CR_OR_LF
        return block if self.fault is None else b""
