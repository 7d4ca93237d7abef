"""From root to an ordinary user, for good."""

import os
import pwd
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


def become(user: User) -> None:
    """Give up root, or whoever we are: groups first, for afterwards it is forbidden. There is no way back.

    Raises PermissionError when we are neither root nor that user.
    """
    if os.geteuid() == user.uid and os.getuid() == user.uid:
        return
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.environ["HOME"] = "/"
    os.umask(0o077)


def own_folder(folder: Path, user: User | None) -> None:
    """Make the data folder, closed to others, and give it to `user`, if any. One that is there stays as it is."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, mode=0o700)
    if user is not None:
        os.chown(folder, user.uid, user.gid)
