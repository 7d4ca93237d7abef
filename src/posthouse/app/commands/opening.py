"""Open a server's data for a command, beside the running server. None but `domain add` makes anything."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from posthouse.accounts.errors import DirectoryUnusableError
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app import output
from posthouse.app.commands.passwords import confirmed
from posthouse.app.config.loading import Config
from posthouse.app.data_folder.checks import check_ids
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_errors import explain_disk_errors
from posthouse.app.data_folder.making import is_directory_lost, make, make_directory
from posthouse.app.data_folder.parts import is_new, refusal, require_store
from posthouse.app.data_folder.permissions import check_access
from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.privileges import become
from posthouse.app.system_users import User, find_user, own_folder, owner_of
from posthouse.database.server_lock import ServerLock, ServerRunningError


def open_data_folder(config: Config, *, create: bool = False, mail: bool = True, sound: bool = True) -> DataPaths:
    """Find the data folder and become who may write there. With `create`, it is made when missing, and may be empty.

    Its parts must belong together unless `sound` is False. `mail`: posthouse.db is going to be opened.
    Root becomes the folder's owner first: a file of root's among the server's would lock the server out.
    """
    data = config.settings.server.data
    assert data is not None  # checked when the configuration was read
    if create and not data.is_dir():
        with explain_disk_errors(data):
            own_folder(data, _future_owner(config))
    if not data.is_dir():
        raise CommandError(
            f"there is no data folder at {data}",
            fix=_named_by(config),
            code=Exit.UNAVAILABLE,
        )
    if os.geteuid() == 0:
        owner, user = owner_of(data), _configured_user(config)
        if owner.uid == 0 and user is not None and user.uid != 0:
            text = f"{data} belongs to root, and the server runs as {user.name} (server.user)"
            raise CommandError(text, fix=f"As root: chown -R {user.name}: {data}", code=Exit.CONFIG)
        become(owner)
    paths = DataPaths(data)
    check_access(paths)
    if not create:
        require_store(paths)
        if sound:
            check_ids(paths, mail=mail)
    return paths


def _named_by(config: Config) -> str:
    """What to do when the folder that was named is not there."""
    if config.origins.get("server.data") == "--data":
        return "Is that the name, and is its disk mounted?"
    if config.file is not None:
        return f"It is named by server.data in {config.file}. Is its disk mounted? Else: --data DIR"
    return "Name the server's configuration with -c FILE, or its data folder with --data DIR."


def _future_owner(config: Config) -> User | None:
    """Who is to own a new data folder; None: we who make it. What --data names is not the configured server's."""
    name = config.settings.server.user
    if os.geteuid() != 0 or not name or config.origins.get("server.data") == "--data":
        return None
    return find_user(name)


def _configured_user(config: Config) -> User | None:
    """Whom a server of this folder becomes, as far as is known."""
    try:
        return _future_owner(config)
    except CommandError:  # this machine has no such user: it is not where the server runs
        return None


def open_registry(config: Config, *, sound: bool = True) -> SqliteRegistry:
    """Open the directory of a mail store that is there. Raises CommandError, AccountsError."""
    return _registry(open_data_folder(config, mail=False, sound=sound))


def begin_store(config: Config, *, yes: bool) -> SqliteRegistry:
    """The same, but a mail store is made where there is none, and a directory where that is lost; asks first."""
    data = config.settings.server.data
    assert data is not None
    if is_new(DataPaths(data)):
        confirmed(f"There is no mail store in {data}. Make a new one?", yes=yes)
        make(open_data_folder(config, create=True))
    paths = open_data_folder(config, sound=False)
    if is_directory_lost(paths):
        with alone(paths):
            confirmed(f"{paths.directory} is lost. Begin a new one, without any domain and account?", yes=yes)
            make_directory(paths)
        output.note(
            "Keep the server stopped until all accounts are there: mail to those that are not is refused for good."
        )
    check_ids(paths, mail=False)
    return _registry(paths)


@contextmanager
def alone(paths: DataPaths) -> Iterator[None]:
    """While no server runs, and none starts. Raises CommandError."""
    try:
        lock = ServerLock.acquire(paths.data)
    except ServerRunningError as error:
        raise CommandError(str(error), fix=_STOP, code=Exit.UNAVAILABLE) from None
    try:
        yield
    finally:
        lock.release()


_STOP = "Stop the server first: this changes what it has in memory."


def _registry(paths: DataPaths) -> SqliteRegistry:
    try:
        return SqliteRegistry(paths.directory, create=False)
    except DirectoryUnusableError as error:
        raise refusal(error) from error
