"""Who may use the files of a data folder: this process must, and other users should not.

Asked before anything is opened: what fails later says less.
"""

import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.app.disk_errors import mount_of
from posthouse.app.errors import CommandError, Exit
from posthouse.app.places import Places
from posthouse.app.privileges import owner_of
from posthouse.database.connection import files_of

_SECRET = re.compile(r"(?m)^\s*(?:key_)?password\s*=\s*\S")  # written in the file itself, not named by ..._file
_FOLDERS = ("packs", "spool", "bus", "tls")
_FILES = ("store.json", "reserve", "write.lock", "server.lock")


def check_access(places: Places) -> None:
    """Refuse a folder with a part that may not be read and written. Costs a look at each pack. Raises CommandError."""
    for path in _parts(places):
        if path.exists() and not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
            raise _refused(path, places.data)


def warn_if_open(data: Path, config: Path | None, log: FilteringBoundLogger) -> None:
    """Look at the data folder, and at a configuration file that holds passwords."""
    if _mode(data) & 0o077:
        log.warning("the data folder is open to other users", data=str(data), fix=f"chmod 700 {data}")
    if config is not None and _mode(config) & 0o044 and _holds_secrets(config):
        fix = f"chmod 600 {config}, owned by who starts the server; or name the secrets by password_file"
        log.warning("the configuration holds passwords and is open to other users", file=str(config), fix=fix)


def access_fix(path: Path, data: Path) -> str:
    """What to do about a file that may not be used by this process."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        mount = mount_of(path)
        return f"See why: dmesg. Then make it writable: mount -o remount,rw {mount}"
    owner = owner_of(data).name
    if os.geteuid() not in (0, data.stat().st_uid) and path.stat().st_uid == data.stat().st_uid:
        return f"Run it as root, or as its owner: sudo -u {owner} posthouse ..."
    rights = "u+rwX" if path.is_dir() else "u+rw"
    return f"As root: chown {owner} {path}; chmod {rights} {path}"


def _parts(places: Places) -> Iterator[Path]:
    """From the outside to the inside: what is in a folder that may not be entered cannot be seen."""
    yield places.data
    for name in (*_FOLDERS, *_FILES):
        yield places.data / name
    for database in (
        places.mail,
        places.directory,
        places.destinations,
        places.history,
        places.index,
        places.volatile,
        places.leases,
    ):
        yield from files_of(database)
    if places.packs.is_dir():
        yield from sorted(places.packs.glob("*.pack"))


def _refused(path: Path, data: Path) -> CommandError:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        text = f"{path} stands on a file system that is read-only"
    else:
        text = f"{path} may not be read and written by {_name()}"
    return CommandError(text, fix=access_fix(path, data), code=Exit.CONFIG)


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
