"""The feed of changes between the workers of one server: each has a Unix datagram socket in one folder.

A worker's socket is named by its index, so nobody has to be discovered: the peers are the other indices. That a worker
has died shows when the next datagram to it is refused; its successor binds the same name, and connecting again finds
it.
Files rather than abstract names, because a folder has permissions and abstract names have none: any user could take the
name of a worker, or whisper to it.

What is published in one turn of the loop goes out together at the end of it, the highest modseq of each account. The
kernel queues few datagrams (net.unix.max_dgram_qlen, often 10). What does not fit waits, merged, and is tried again a
moment later; what does not fit there either is lost, which the feed may do: the change log in the store is the truth.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path

from posthouse.mailstore.changes import LocalBus

_CHANGE = struct.Struct("<qq")  # account, modseq
_CHANGES_AT_MOST = 256  # in one datagram
_LARGEST = _CHANGES_AT_MOST * _CHANGE.size
_DATAGRAMS_PER_TURN = 64  # then the connections get their turn
_LATE_AT_MOST = 4096  # accounts that wait for one peer
_RETRY_SECONDS = 0.005
_PATH_AT_MOST = 107  # unix(7): 108 octets with the NUL
_NAME_AT_MOST = 10


def clear_bus(folder: Path) -> None:
    """Make the folder of a bus, closed to others, and remove what dead workers left. Before any worker starts."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.iterdir():
        if left.is_socket():
            left.unlink()


def encode(changes: Mapping[int, int]) -> list[bytes]:
    """The datagrams that say which account is at which modseq."""
    pairs = list(changes.items())
    parts = (pairs[start : start + _CHANGES_AT_MOST] for start in range(0, len(pairs), _CHANGES_AT_MOST))
    return [struct.pack(f"<{2 * len(part)}q", *chain.from_iterable(part)) for part in parts]


def decode(datagram: bytes) -> Iterable[tuple[int, int]]:
    """The (account, modseq) pairs of a datagram; none at all if it is malformed."""
    if len(datagram) > _LARGEST or len(datagram) % _CHANGE.size:
        return ()
    changes = list(_CHANGE.iter_unpack(datagram))
    return changes if all(account >= 0 and modseq > 0 for account, modseq in changes) else ()


class SocketBus:
    """Carries changes between the sessions of this worker, at once, and to the other workers, within a few ms.

    A ChangeBus. `index` is this worker's of `count`. Until start() and after close() it carries them locally only.
    Used on the event loop only.
    """

    def __init__(self, folder: Path, index: int, count: int) -> None:
        self._folder = folder
        self._index = index
        self._count = count
        self._local = LocalBus()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._folder_fd = -1
        self._peers: list[_Peer] = []
        self._waiting: dict[int, int] = {}  # goes out at the end of this turn
        self._retry: asyncio.TimerHandle | None = None

    @property
    def started(self) -> bool:
        """Whether the others can be heard and told; also if there are no others."""
        return self._count == 1 or self._loop is not None

    def start(self) -> None:
        """Listen to the others, and speak to them. Raises OSError where the file system has no sockets.

        May be called again when it has failed.
        """
        if self.started:
            return
        where = self._reachable()
        ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            own = Path(where, str(self._index))
            own.unlink(missing_ok=True)  # a worker that was killed left it
            os.fchmod(ears.fileno(), 0o600)  # of the socket that bind makes a file of
            ears.bind(str(own))
        except OSError:
            ears.close()
            self._leave_folder()
            raise
        self._socket = ears
        self._peers = [_Peer(f"{where}/{index}") for index in range(self._count) if index != self._index]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ears.fileno(), self._hear, ears)

    def close(self) -> None:
        """Speak and listen no more; what was published in this turn still goes out."""
        if self._loop is None or self._socket is None:
            return
        self._send()
        self._loop.remove_reader(self._socket.fileno())
        self._loop = None
        if self._retry is not None:
            self._retry.cancel()
        self._socket.close()
        Path(self._folder, str(self._index)).unlink(missing_ok=True)
        for peer in self._peers:
            peer.hang_up()
        self._peers.clear()
        self._leave_folder()

    def publish(self, account: int, modseq: int) -> None:
        """Tell the watchers: those here at once, those of other workers soon. Never blocks, never raises."""
        self._local.publish(account, modseq)
        if self._loop is None:
            return
        waiting = self._waiting
        if not waiting:
            self._loop.call_soon(self._send)
        if modseq > waiting.get(account, 0):
            waiting[account] = modseq

    def watch(self, account: int, notify: Callable[[int], None]) -> Callable[[], None]:
        """Call notify(modseq) on the event loop at every change, here or elsewhere; returns what ends the watch."""
        return self._local.watch(account, notify)

    def _send(self) -> None:
        if not self._waiting:
            return
        changes, self._waiting = self._waiting, {}
        datagrams = encode(changes)
        for peer in self._peers:
            if peer.late:
                peer.delay(changes)
            elif not all(map(peer.send, datagrams)):
                peer.delay(changes)
                self._try_again_soon()

    def _send_late(self) -> None:
        self._retry = None
        for peer in self._peers:
            if peer.late and not peer.catch_up():
                self._try_again_soon()

    def _try_again_soon(self) -> None:
        if self._retry is None and self._loop is not None:
            self._retry = self._loop.call_later(_RETRY_SECONDS, self._send_late)

    def _hear(self, ears: socket.socket) -> None:
        heard: dict[int, int] = {}
        for _ in range(_DATAGRAMS_PER_TURN):
            try:
                datagram = ears.recv(_LARGEST + 1)
            except OSError:
                break
            for account, modseq in decode(datagram):
                if modseq > heard.get(account, 0):
                    heard[account] = modseq
        for account, modseq in heard.items():
            self._local.publish(account, modseq)

    def _reachable(self) -> str:
        """A path of the folder that leaves room for a name; where there is none, one by way of a descriptor."""
        if len(os.fsencode(self._folder)) + 1 + _NAME_AT_MOST <= _PATH_AT_MOST:
            return str(self._folder)
        self._folder_fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._folder_fd}"

    def _leave_folder(self) -> None:
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1


class _Peer:
    """Another worker, by the path it binds. It may be dead, or another process than a moment ago.

    Each has a socket of its own: what one does not read counts against that socket's buffer and no other peer's.
    """

    __slots__ = ("_path", "_socket", "late")

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self.late: dict[int, int] = {}  # what did not fit into its queue

    def send(self, datagram: bytes) -> bool:
        """Returns False if its queue is full. Who is not there has no sessions to tell: that is no failure."""
        if self._socket is not None:
            try:
                self._socket.send(datagram)
            except BlockingIOError:
                return False
            except OSError:
                self.hang_up()  # it is dead; perhaps its successor is there
            else:
                return True
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.connect(self._path)
            self._socket.send(datagram)
        except BlockingIOError:
            return False
        except OSError:
            self.hang_up()
        return True

    def delay(self, changes: Mapping[int, int]) -> None:
        """Keep `changes` for catch_up(), within the bound."""
        late = self.late
        for account, modseq in changes.items():
            if account in late:
                late[account] = max(modseq, late[account])
            elif len(late) < _LATE_AT_MOST:
                late[account] = modseq

    def catch_up(self) -> bool:
        """Send what is late; returns False if some still is."""
        for datagram in encode(self.late):
            if not self.send(datagram):
                return False
            for account, _ in decode(datagram):
                del self.late[account]
        return True

    def hang_up(self) -> None:
        """Forget the process behind the path."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
