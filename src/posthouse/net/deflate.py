"""Compression of a connection, both ways: raw deflate streams (RFC 1951), as IMAP uses them. No socket, no clock.

Little may become very much: 1 octet can stand for 1032. So nothing is unpacked before someone takes it, and then only
a piece; what is packed waits as it came, within the bounds of the connection.

Memory of one connection: 39 KiB for unpacking, of which 32 KiB come with the first octets, and 54 KiB for packing. A
connection that says nothing can do without the latter: after a sync flush a new packer goes on in the same stream; all
it lacks is the memory of what was said before.
"""

import zlib

_PIECE = 1 << 14  # octets unpacked at once
# RFC 4978 4 leaves the sender free; the receiver must cope with the whole window of 2^15.
_THEIR_WINDOW = -15  # negative: no zlib header
# The usual 15 and 8 cost 262 KiB. Measured on FETCH answers, at level 1: 5.4 times smaller instead of 5.7.
_OUR_WINDOW = -13
_OUR_MEMORY = 5
# Level 6 makes mail 10 to 15 % smaller still, in twice the time; and the time is that of all connections.
_LEVEL = 1


class BrokenStreamError(Exception):
    """What the peer sends is no deflate stream."""


class Deflate:
    """Packs what goes out, unpacks what comes in."""

    __slots__ = ("_packer", "_unpacker", "ended", "has_more")

    def __init__(self) -> None:
        self._packer: zlib._Compress | None = None
        self._unpacker = zlib.decompressobj(_THEIR_WINDOW)
        self.has_more = False  # unpack(b"") may give something
        self.ended = False  # the peer has ended its stream

    def pack(self, plain: bytes) -> bytes:
        """What is to go out, so that the peer can unpack all of `plain` at once."""
        if self._packer is None:
            self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _OUR_WINDOW, _OUR_MEMORY)
        return self._packer.compress(plain) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def rest(self) -> None:
        """Let go of what packing needs, until the next pack()."""
        self._packer = None

    def unpack(self, packed: bytes) -> tuple[bytes, bytes]:
        """At most 16 KiB of what is in `packed`, and what of it is still to be unpacked. Raises BrokenStreamError.

        If there is nothing in it yet, nothing of it is left either. After the end of the stream all is thrown away.
        """
        if self.ended:
            return b"", b""
        try:
            plain = self._unpacker.decompress(packed, _PIECE)
        except zlib.error as error:
            raise BrokenStreamError(str(error)) from None
        self.has_more = len(plain) == _PIECE
        self.ended = self._unpacker.eof
        return plain, self._unpacker.unconsumed_tail
