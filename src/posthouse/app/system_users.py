"""The users of this machine: who they are, what they may read, and what is done in their name."""

import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posthouse.app.errors import CommandError, Exit


@dataclass(frozen=True, slots=True)
class User:
    """Who to become: user id, group id, and the other groups the user is in."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find_user(name: str) -> User:
    """Look a user up. Raises CommandError when there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CommandError(
            f'there is no user "{name}" (server.user)',
            fix=f"Make one: useradd --system --home-dir /var/lib/posthouse --shell /usr/sbin/nologin {name}",
            code=Exit.CONFIG,
        ) from None
    return User(name, entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)))


def owner_of(folder: Path) -> User:
    """Who owns a folder, as someone to become."""
    status = folder.stat()
    try:
        return find_user(pwd.getpwuid(status.st_uid).pw_name)
    except KeyError:  # an owner without a name: containers have those
        return User(str(status.st_uid), status.st_uid, status.st_gid, ())


def switch_to(user: User) -> None:
    """Become that user, for good: groups first, for afterwards it is forbidden. Raises PermissionError."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.environ["HOME"] = "/"
    os.umask(0o077)


def unreadable(user: User, paths: Sequence[Path]) -> list[Path]:
    """Those of the files and folders that `user` may not read, or that are not there. As root.

    A child finds out by being that user: groups, access lists and the folders on the way all count.
    """
    closed = answer_as(user, lambda: bytes(not _may_read(path) for path in paths))
    return [path for path, is_closed in zip(paths, closed, strict=True) if is_closed]


def answer_as(user: User, work: Callable[[], bytes]) -> bytes:
    """What `work` returns (a pipeful at most) in a child that is `user`. As root. Raises CommandError."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        done = as_user(user, lambda: os.write(writing, work()))
        os.close(writing)
        answer = pipe.read()
    if not done:
        raise CommandError(f"cannot become {user.name} (server.user)", code=Exit.NO_PERMISSION)
    return answer


def _may_read(path: Path) -> bool:
    try:
        return os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))
    except PermissionError:  # a folder on the way may not be entered
        return False


def as_user(user: User, work: Callable[[], object]) -> bool:
    """Do some work in a child that is `user`, and nothing else any more; whether it came to its end. As root."""
    pid = os.fork()
    if pid == 0:
        try:
            switch_to(user)
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def own_folder(folder: Path, user: User | None) -> None:
    """Make the data folder, closed to others, and give it to `user`, if any. One that is there stays as it is."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, mode=0o700)
    if user is not None:
        os.chown(folder, user.uid, user.gid)
