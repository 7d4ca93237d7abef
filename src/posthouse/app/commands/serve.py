"""posthouse serve: the real server."""

import asyncio
import dataclasses
import datetime
import functools
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.app.certificate import CertificateFiles, self_signed
from posthouse.app.commands.where import NOWHERE, Where
from posthouse.app.config import Config
from posthouse.app.data_folder import require_store
from posthouse.app.descriptors import bound_connections, raise_limit
from posthouse.app.disk_errors import explain_disk_errors
from posthouse.app.disk_space import give_back, make_room
from posthouse.app.errors import CommandError, Exit
from posthouse.app.heartbeat import Heartbeat
from posthouse.app.hostname import own_name, public_name
from posthouse.app.interruption import interruptible, uninterrupted
from posthouse.app.key_reader import KeyReader
from posthouse.app.lifetime import ORPHAN_SECONDS, beat, stop_at_end_of_file, until_stopped, watched_threads
from posthouse.app.listening import Bound, bind_all, close_all, close_sockets
from posthouse.app.login_key import kept_key
from posthouse.app.logs import adopt_library_logs, open_log
from posthouse.app.memory import tune_memory
from posthouse.app.notify import Notifier
from posthouse.app.parent import PASSED, Parent
from posthouse.app.permissions import check_access, check_access_of, warn_if_open
from posthouse.app.places import Places
from posthouse.app.preload import program_files
from posthouse.app.privileges import User, become, find_user, unreadable
from posthouse.app.reloading import Reload
from posthouse.app.services import wanted
from posthouse.app.settings import Settings
from posthouse.app.terminal import Terminal
from posthouse.app.worker import Setup, Worker, prepare
from posthouse.database.server_lock import ServerLock, ServerRunningError, running_server
from posthouse.net.loop import new_event_loop
from posthouse.net.tls import TlsFilesError, TlsKeeper


def serve(*, where: Where = NOWHERE) -> int:
    """Run the server."""
    with interruptible() as undo:
        return _run(where, undo)


def _run(where: Where, undo: ExitStack) -> int:
    """The whole life of the parent. What it makes and must not leave behind joins `undo`."""
    tune_memory()
    descriptors = raise_limit()
    config = where.load(secrets=True)
    settings = config.settings
    data = settings.server.data
    assert data is not None  # checked when the configuration was read
    count = settings.server.workers or os.cpu_count() or 1
    log = open_log(settings.log.level, settings.log.format)
    user = find_user(settings.server.user) if os.geteuid() == 0 and settings.server.user else None
    # In this order: the ports and the key need root, everything that is written needs the user.
    with uninterrupted():
        bound = bind_all(wanted(settings), count, advice=_who_runs(data))
        undo.callback(close_all, bound)
    with explain_disk_errors(data):
        require_store(Places(data))
        if user is not None:
            check_access_of(user, Places(data))
        reader = None if user is None else _give_up_root(settings, user, bound, log)
        setup = _set_up(config, reader, count, descriptors, log)
        undo.callback(_lock(setup.places).release)
        with uninterrupted():
            setup = dataclasses.replace(setup, places=make_room(setup.places, setup.log))
            undo.callback(give_back, setup.places)
        setup = dataclasses.replace(setup, login_key=kept_key(setup.places.data, setup.log))
        prepare(setup)
    reload = Reload(config, where.load, log, None if reader is None else reader.look)
    parent = Parent(
        count=count,
        run_worker=functools.partial(_run_worker, setup, bound),
        drain=settings.server.drain,
        log=log,
        notifier=Notifier(),
        on_ready=functools.partial(_ready, setup, bound),
        on_reload=reload,
        is_abandoned=Terminal().is_gone,
    )
    return parent.run()


def _ready(setup: Setup, bound: list[Bound]) -> None:
    """Say what listens where."""
    places: dict[str, list[str]] = {}
    for place in bound:
        places.setdefault(place.service.value, []).append(str(place.endpoint))
    setup.log.info("ready, serving", hostname=setup.hostname, **places, workers=setup.workers, data=setup.places.data)


def _give_up_root(settings: Settings, user: User, bound: list[Bound], log: FilteringBoundLogger) -> KeyReader | None:
    """Become `user`, once all is at hand that only root may read. What reads the certificate, if root must go on."""
    data, tls, ca_file = settings.server.data, settings.tls, settings.outgoing.ca_file
    assert data is not None
    if closed := unreadable(user, program_files()):
        log.warning(
            "the program stands where the server's user may not read it: all of it was loaded now",
            user=user.name,
            path=str(closed[0]),
            fix="install it below /opt, where an upgrade under the running server does no harm either",
        )
    if ca_file is not None and unreadable(user, [ca_file]):
        text = f"outgoing.ca_file: {ca_file} is not there, or may not be read by {user.name}"
        raise CommandError(text, fix=f"chmod a+r {ca_file}, and a+x for the folders above it", code=Exit.CONFIG)
    reader = None
    if tls.certificate is not None and tls.key is not None and unreadable(user, [tls.certificate, tls.key]):
        reader = KeyReader(CertificateFiles(tls.certificate, tls.key), Places(data).tls, user, log)
        reader.start(tls.reload, lambda: close_sockets(bound))
        log.info("only root may read the certificate: a process that stays root reads it", key=str(tls.key))
    become(user)
    return reader


def _set_up(
    config: Config, reader: KeyReader | None, workers: int, descriptors: int, log: FilteringBoundLogger
) -> Setup:
    settings = config.settings
    data = settings.server.data
    assert data is not None  # checked when the configuration was read
    places = Places(data)
    check_access(places)
    hostname = own_name(settings)
    if not public_name(hostname):
        fix = "set server.hostname; see: posthouse config check"
        log.warning("this is no name by which other servers can find this one", hostname=hostname, fix=fix)
    if reader is not None:
        certificate = reader.copies
    elif settings.tls.certificate is not None and settings.tls.key is not None:
        certificate = CertificateFiles(settings.tls.certificate, settings.tls.key)
    else:
        certificate = self_signed(places.tls, [hostname], datetime.datetime.now(datetime.UTC))
    try:
        TlsKeeper(certificate.certificate, certificate.key, password=settings.tls.key_password)
    except TlsFilesError as error:
        raise CommandError(str(error), fix="See: posthouse config check", code=Exit.CONFIG) from None
    warn_if_open(data, config.file, log)
    connections = bound_connections(settings.limits.connections, descriptors, log)
    return Setup(settings, hostname, places, certificate, log, workers, connections)


def _lock(places: Places) -> ServerLock:
    try:
        return ServerLock.acquire(places.data)
    except ServerRunningError as error:
        fix = _who_runs(places.data) or "Stop that one first, or name another folder: server.data."
        raise CommandError(str(error), fix=fix, code=Exit.UNAVAILABLE) from None


def _who_runs(data: Path) -> str:
    """What to do about the server that has this data folder; "" when there is none, or none that can be asked."""
    try:
        pid = running_server(data)
    except OSError:
        return ""
    if pid is None:
        return ""
    if pid and not Path(f"/proc/{pid}").exists():
        return f"A server of this data folder (process {pid}) is still stopping: start again in a few seconds."
    return "A server of this data folder runs already: stop that one first, or name another folder: server.data."


def _run_worker(
    setup: Setup, bound: list[Bound], index: int, ready: Callable[[], None], life_line: int, heartbeat: Heartbeat
) -> int:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(setup, bound, index, ready, life_line, heartbeat))


async def _serve(
    setup: Setup, bound: list[Bound], index: int, ready: Callable[[], None], life_line: int, heartbeat: Heartbeat
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    adopt_library_logs(setup.log)  # what happens in tasks and callbacks that nobody awaits
    drain = setup.settings.server.drain
    worker: Worker | None = None

    def orphaned() -> None:
        nonlocal drain
        drain = min(drain, ORPHAN_SECONDS)
        setup.log.error("the main process is gone, this worker ends", worker=index)
        if worker is not None:
            worker.stop_accepting()
        close_sockets(bound)  # all of them: each is another worker's queue too, and nobody takes up what waits there

    stop_at_end_of_file(life_line, stop, orphaned)
    beat(heartbeat)
    try:
        worker = await Worker.open(setup, index, heartbeat=heartbeat)
    except TlsFilesError as error:
        setup.log.error("no certificate", reason=error)
        return Exit.CONFIG
    loop.add_signal_handler(signal.SIGHUP, functools.partial(_reload, worker, setup))
    # The parent forked with its signals held back, so that none is lost before these handlers stand.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED)
    try:
        with watched_threads(worker.thread_died):
            await worker.start(bound, index)
            ready()
            await until_stopped(stop, worker, setup.log)
    finally:
        await worker.stop(drain)
    return Exit.OK


def _reload(worker: Worker, setup: Setup) -> None:
    try:
        worker.reload()
        setup.log.info("certificate reloaded")
    except TlsFilesError as error:
        setup.log.error("certificate not reloaded", reason=error)
