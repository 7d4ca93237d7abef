"""A disk with a volatile write cache, whose power can be cut at any request. Usage: disk_server IMAGE FOLDER.

It shows one file, FOLDER/disk, by speaking the kernel's FUSE protocol. A loop device upon that file passes on every
write and every FLUSH of the file system above it, in order, one at a time; so this process sees what a disk would see,
and knows at every instant what is on the platters (all before the last FLUSH) and what is in the cache alone.

Standard input takes commands, standard output answers each with a line:
    halt N          stop at request N from now, of the writes and flushes: "halted", once it is reached; a write is
                    in the cache then, and a flush has not begun
    image PATH HOW SEED    write what the disk may hold if the power goes at this instant: "image N", N in the cache
    go              go on after a halt: "going"
HOW says what of the cache reaches the platters: "none", "all", "prefix" (in order, the last of it torn within a write)
or "some" (any sectors, in no order, as a disk may do that sorts its writes).
"""

import ctypes
import errno
import mmap
import os
import random
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512  # octets that a disk writes whole or not at all
_PIECE = 1 << 16  # octets of which is known whether they were ever written
_LONGEST = 1 << 20  # octets of one write
_HEAD = struct.Struct("<IIQQIIIHH")  # fuse_in_header in linux/fuse.h: len, opcode, unique, nodeid, uid, gid, pid, -, -
_REPLY = struct.Struct("<IiQ")  # fuse_out_header
_INIT = struct.Struct("<IIIIHHIIHHI28x")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_TRANSFER = struct.Struct("<QQIIQII")  # fuse_read_in, fuse_write_in
_ALLOCATE = struct.Struct("<QQQII")
_FILE, _ROOT = 2, 1  # node numbers
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22


@dataclass(frozen=True)
class Cached:
    """A write that no FLUSH has followed yet."""

    offset: int
    before: bytes  # what was there
    data: bytes


class Disk:
    """The octets, and which of them a loss of power may take back."""

    def __init__(self, image: Path) -> None:
        self.size = image.stat().st_size
        self._octets = mmap.mmap(-1, self.size)
        self._used: set[int] = set()  # pieces that were ever written; all others are zeros
        self._cache: list[Cached] = []
        with image.open("rb") as file:
            for at in range(0, self.size, _PIECE):
                piece = file.read(_PIECE)
                if piece.count(0) < len(piece):
                    self.write(at, piece)
        self.flush()

    def read(self, offset: int, octets: int) -> bytes:
        return self._octets[offset : offset + octets]

    def write(self, offset: int, data: bytes) -> None:
        self._cache.append(Cached(offset, self.read(offset, len(data)), data))
        self._octets[offset : offset + len(data)] = data
        self._used.update(range(offset // _PIECE, (offset + len(data) - 1) // _PIECE + 1))

    def flush(self) -> None:
        """All written so far stays, whatever happens."""
        self._cache.clear()

    def image(self, path: Path, how: str, source: random.Random) -> int:
        """Write what may be there if the power goes now; how many writes were in the cache."""
        cache, changed = self._cache, dict[int, bytes]()
        for write in reversed(cache):
            changed |= dict(_sectors(write.offset, write.before))
        for write in _survivors(cache, how, source):
            changed |= dict(_sectors(write.offset, write.data))
        with path.open("wb") as file:
            file.truncate(self.size)
            for number in sorted(self._used):  # the rest stays a hole
                file.seek(number * _PIECE)
                file.write(self.read(number * _PIECE, _PIECE))
            for at, sector in changed.items():
                file.seek(at)
                file.write(sector)
        return len(cache)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(data), SECTOR):
        yield offset + at, data[at : at + SECTOR]


def _survivors(cache: list[Cached], how: str, source: random.Random) -> Iterator[Cached]:
    """What of the cache reaches the platters, in the order in which it was written."""
    if how == "all":
        yield from cache
    elif how == "prefix" and cache:
        cut = source.randrange(len(cache))
        yield from cache[:cut]
        sectors = source.randrange(len(cache[cut].data) // SECTOR + 1)
        yield Cached(cache[cut].offset, b"", cache[cut].data[: sectors * SECTOR])
    elif how == "some":
        share = source.random()
        for write in cache:
            for offset, data in _sectors(write.offset, write.data):
                if source.random() < share:
                    yield Cached(offset, b"", data)


class Server:
    """Answers the kernel, until it unmounts or the process that started this goes away."""

    def __init__(self, disk: Disk, device: int) -> None:
        self._disk, self._device = disk, device
        self._left = 0  # requests until the halt; 0: none is wanted
        self._going = threading.Event()

    def serve(self) -> None:
        """Take requests one after the other. Ends with the mount."""
        while True:
            try:
                request = os.read(self._device, _LONGEST + 65536)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                raise
            _, operation, unique, node, *_ = _HEAD.unpack_from(request)
            answer = self._answer(operation, node, request[_HEAD.size :])
            if answer is not None:
                number, data = (-answer, b"") if isinstance(answer, int) else (0, answer)
                os.write(self._device, _REPLY.pack(_REPLY.size + len(data), number, unique) + data)

    def _answer(self, operation: int, node: int, request: bytes) -> bytes | int | None:
        """What to reply: octets, an errno, or nothing at all. The numbers are those of linux/fuse.h."""
        match operation:
            case 2 | 36 | 42:  # FORGET, INTERRUPT, BATCH_FORGET
                return None
            case 26:  # INIT
                most = _LONGEST // mmap.PAGESIZE
                return _INIT.pack(7, 31, _LONGEST, _BIG_WRITES | _MAX_PAGES, 16, 12, _LONGEST, 1, most, 0, 0)
            case 1:  # LOOKUP
                return struct.pack("<QQQQII", _FILE, 0, 3600, 3600, 0, 0) + self._attributes(_FILE)
            case 3 | 4:  # GETATTR, SETATTR
                return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
            case 14:  # OPEN
                return struct.pack("<QII", 1, 0, 0)
            case 15:  # READ
                _, offset, octets, *_ = _TRANSFER.unpack_from(request)
                return self._disk.read(offset, octets)
            case 16 | 20 | 43:  # WRITE, FSYNC, FALLOCATE
                return self._change(operation, request)
            case 17:  # STATFS
                return struct.pack("<QQQQQIIII24x", 1, 0, 0, 2, 0, 512, 255, 512, 0)
            case 18 | 25 | 38:  # RELEASE, FLUSH (which is close, and no FLUSH of a disk), DESTROY
                return b""
        return errno.ENOSYS

    def _attributes(self, node: int) -> bytes:
        size, mode = (self._disk.size, 0o100600) if node == _FILE else (0, 0o040700)
        return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _change(self, operation: int, request: bytes) -> bytes:
        """Carry out what changes the disk. A halt comes behind a write, and before a FLUSH has done anything."""
        if operation == 20:
            self._count()
            self._disk.flush()
            return b""
        answer = self._allocate(request) if operation == 43 else self._write(request)
        self._count()
        return answer

    def _count(self) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                say("halted")
                self._going.wait()

    def _write(self, request: bytes) -> bytes:
        _, offset, octets, *_ = _TRANSFER.unpack_from(request)
        self._disk.write(offset, request[_TRANSFER.size : _TRANSFER.size + octets])
        return struct.pack("<II", octets, 0)

    def _allocate(self, request: bytes) -> bytes:
        """Make a hole, or zeros: either reads as zeros."""
        _, offset, octets, _, _ = _ALLOCATE.unpack_from(request)
        for at in range(offset, offset + octets, _LONGEST):
            self._disk.write(at, bytes(min(_LONGEST, offset + octets - at)))
        return b""

    def obey(self) -> None:
        """Do what standard input says, until it is closed: then nobody is left for whom the disk should go on."""
        for line in sys.stdin:
            command, *words = line.split()
            if command == "halt":
                self._going.clear()
                self._left = int(words[0])
            elif command == "image":
                say(f"image {self._disk.image(Path(words[0]), words[1], random.Random(words[2]))}")
            elif command == "go":
                self._left = 0
                self._going.set()
                say("going")
        os._exit(0)


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def main(image: Path, folder: Path) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"disk", os.fsencode(folder), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    server = Server(Disk(image), device)
    threading.Thread(target=server.obey, daemon=True).start()
    say("ready")
    server.serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
