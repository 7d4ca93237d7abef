"""Who may use the files of a data folder: this process must, and other users should not.

Asked before anything is opened: what fails later says less.
"""

import json
import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_errors import mount_of
from posthouse.app.errors import CommandError, Exit
from posthouse.app.system_users import User, answer_as, owner_of
from posthouse.database.connection import files_of

_SECRET = re.compile(r"(?m)^\s*(?:key_)?password\s*=\s*\S")  # written in the file itself, not named by ..._file
_FOLDERS = ("packs", "spool", "bus", "tls")
_FILES = ("store.json", "reserve", "write.lock", "server.lock")


def check_access(paths: DataPaths, owner: str = "") -> None:
    """Refuse a folder with a part that may not be read and written. Costs a look at each pack. Raises CommandError.

    `owner`: whose the folder is to be; otherwise whose it is.
    """
    if closed := _closed(paths):
        raise _refused(closed, paths.data, owner)


def check_access_of(user: User, paths: DataPaths) -> None:
    """The same, as root, before it is given up for `user`, whose the folder is to be. Raises CommandError."""

    def look() -> bytes:
        try:
            check_access(paths, user.name)
        except CommandError as error:
            return json.dumps([error.text, error.fix]).encode()
        return b""

    if answer := answer_as(user, look):
        text, fix = json.loads(answer)
        raise CommandError(text, fix=fix, code=Exit.CONFIG)


def warn_if_open(data: Path, config: Path | None, log: FilteringBoundLogger) -> None:
    """Look at the data folder, and at a configuration file that holds passwords."""
    if _mode(data) & 0o077:
        log.warning("the data folder is open to other users", data=str(data), fix=f"chmod 700 {data}")
    if config is not None and _mode(config) & 0o044 and _holds_secrets(config):
        fix = f"chmod 600 {config}, owned by who starts the server; or name the secrets by password_file"
        log.warning("the configuration holds passwords and is open to other users", file=str(config), fix=fix)


def access_fix(path: Path, data: Path, owner: str = "", *, several: bool = False) -> str:
    """What to do about a file that may not be used by this process, or about several. `owner` as in check_access."""
    if _is_read_only(path):
        mount = mount_of(path)
        return f"See why: dmesg. Then make it writable: mount -o remount,rw {mount}"
    if not owner and os.geteuid() not in (0, data.stat().st_uid) and path.stat().st_uid == data.stat().st_uid:
        return f"Run it as root, or as its owner: sudo -u {owner_of(data).name} posthouse ..."
    owner = owner or owner_of(data).name
    if several or path == data:  # restored, perhaps, by another user
        return f"As root: chown -R {owner}: {data}; chmod -R u+rwX {data}"
    rights = "u+rwX" if path.is_dir() else "u+rw"
    return f"As root: chown {owner} {path}; chmod {rights} {path}"


def _parts(paths: DataPaths) -> Iterator[Path]:
    """From the outside to the inside: what is in a folder that may not be entered cannot be seen."""
    yield paths.data
    for name in (*_FOLDERS, *_FILES):
        yield paths.data / name
    for database in (
        paths.mail,
        paths.directory,
        paths.destinations,
        paths.history,
        paths.index,
        paths.volatile,
        paths.leases,
    ):
        yield from files_of(database)
    if paths.packs.is_dir():
        yield from sorted(paths.packs.glob("*.pack"))


def _closed(paths: DataPaths) -> list[Path]:
    """The parts that are there and may not be used; of a folder that is closed itself nothing else can be seen."""
    if _is_closed(paths.data):
        return [paths.data]
    return [path for path in _parts(paths) if _is_closed(path)]


def _is_closed(path: Path) -> bool:
    try:
        return path.exists() and not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))
    except PermissionError:  # a folder on the way may not be entered
        return True


def _refused(closed: Sequence[Path], data: Path, owner: str) -> CommandError:
    path, name = closed[0], _name()
    if _is_read_only(path):
        text = f"{path} stands on a file system that is read-only"
    elif outer := [parent for parent in reversed(data.absolute().parents) if not os.access(parent, os.X_OK)]:
        text = f"{data} may not be used by {name}, who may not enter {outer[0]}"
        fix = f"Keep mail where {name} may go, such as /var/lib/posthouse (server.data); or: chmod a+x {outer[0]}"
        return CommandError(text, fix=fix, code=Exit.CONFIG)
    else:
        more = f" (and {len(closed) - 1} more)" if len(closed) > 1 else ""
        text = f"{path} may not be read and written by {name}{more}"
    return CommandError(text, fix=access_fix(path, data, owner, several=len(closed) > 1), code=Exit.CONFIG)


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except PermissionError:
        return False


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0  # what opens it reports the error


def _holds_secrets(config: Path) -> bool:
    try:
        return _SECRET.search(config.read_text(errors="replace")) is not None
    except OSError:
        return False
