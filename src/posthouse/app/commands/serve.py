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

from posthouse.app.commands.where import NOWHERE, Where
from posthouse.app.config.hostname import own_name, public_name
from posthouse.app.config.loading import Config
from posthouse.app.config.services import listen_requests
from posthouse.app.config.settings import Settings
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_errors import explain_disk_errors
from posthouse.app.data_folder.disk_space import give_back, make_room
from posthouse.app.data_folder.parts import require_store
from posthouse.app.data_folder.permissions import check_access, check_access_of, warn_if_open
from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.certificate import CertificateFiles, self_signed
from posthouse.app.process.descriptors import bound_connections, raise_limit
from posthouse.app.process.heartbeat import Heartbeat
from posthouse.app.process.interruption import interruptible, uninterrupted
from posthouse.app.process.key_reader import KeyReader
from posthouse.app.process.lifetime import ORPHAN_SECONDS, beat, stop_at_end_of_file, until_stopped, watched_threads
from posthouse.app.process.listening import BoundService, bind_all, close_all, close_sockets
from posthouse.app.process.login_key import kept_key
from posthouse.app.process.logs import adopt_library_logs, open_log
from posthouse.app.process.memory import tune_memory
from posthouse.app.process.notify import Notifier
from posthouse.app.process.parent import PASSED, Parent
from posthouse.app.process.preload import program_files
from posthouse.app.process.preparation import prepare
from posthouse.app.process.privileges import become
from posthouse.app.process.reloading import Reload
from posthouse.app.process.terminal import Terminal
from posthouse.app.process.worker import Worker
from posthouse.app.process.worker_config import WorkerConfig
from posthouse.app.system_users import User, find_user, unreadable
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
        bound = bind_all(listen_requests(settings), count, advice=_who_runs(data))
        undo.callback(close_all, bound)
    with explain_disk_errors(data):
        require_store(DataPaths(data))
        if user is not None:
            check_access_of(user, DataPaths(data))
        reader = None if user is None else _give_up_root(settings, user, bound, log)
        worker_config = _set_up(config, reader, count, descriptors, log)
        undo.callback(_lock(worker_config.paths).release)
        with uninterrupted():
            paths = make_room(worker_config.paths, log)
            undo.callback(give_back, paths)
        worker_config = dataclasses.replace(worker_config, paths=paths, login_key=kept_key(data, log))
        prepare(worker_config)
    reload = Reload(config, where.load, log, None if reader is None else reader.look)
    parent = Parent(
        count=count,
        run_worker=functools.partial(_run_worker, worker_config, bound),
        drain=settings.server.drain,
        log=log,
        notifier=Notifier(),
        on_ready=functools.partial(_ready, worker_config, bound),
        on_reload=reload,
        is_abandoned=Terminal().is_gone,
    )
    return parent.run()


def _ready(worker_config: WorkerConfig, bound: list[BoundService]) -> None:
    """Say what listens where."""
    addresses: dict[str, list[str]] = {}
    for place in bound:
        addresses.setdefault(place.service.value, []).append(str(place.endpoint))
    worker_config.log.info(
        "ready, serving",
        hostname=worker_config.hostname,
        **addresses,
        workers=worker_config.workers,
        data=worker_config.paths.data,
    )


def _give_up_root(
    settings: Settings, user: User, bound: list[BoundService], log: FilteringBoundLogger
) -> KeyReader | None:
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
        reader = KeyReader(CertificateFiles(tls.certificate, tls.key), DataPaths(data).tls, user, log)
        reader.start(tls.reload, lambda: close_sockets(bound))
        log.info("only root may read the certificate: a process that stays root reads it", key=str(tls.key))
    become(user)
    return reader


def _set_up(
    config: Config, reader: KeyReader | None, workers: int, descriptors: int, log: FilteringBoundLogger
) -> WorkerConfig:
    settings = config.settings
    data = settings.server.data
    assert data is not None  # checked when the configuration was read
    paths = DataPaths(data)
    check_access(paths)
    hostname = own_name(settings)
    if not public_name(hostname):
        fix = "set server.hostname; see: posthouse config check"
        log.warning("this is no name by which other servers can find this one", hostname=hostname, fix=fix)
    if reader is not None:
        certificate = reader.copies
    elif settings.tls.certificate is not None and settings.tls.key is not None:
        certificate = CertificateFiles(settings.tls.certificate, settings.tls.key)
    else:
        certificate = self_signed(paths.tls, [hostname], datetime.datetime.now(datetime.UTC))
    try:
        TlsKeeper(certificate.certificate, certificate.key, password=settings.tls.key_password)
    except TlsFilesError as error:
        raise CommandError(str(error), fix="See: posthouse config check", code=Exit.CONFIG) from None
    warn_if_open(data, config.file, log)
    connections = bound_connections(settings.limits.connections, descriptors, log)
    return WorkerConfig(settings, hostname, paths, certificate, log, workers, connections)


def _lock(paths: DataPaths) -> ServerLock:
    try:
        return ServerLock.acquire(paths.data)
    except ServerRunningError as error:
        fix = _who_runs(paths.data) or "Stop that one first, or name another folder: server.data."
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
    worker_config: WorkerConfig,
    bound: list[BoundService],
    index: int,
    ready: Callable[[], None],
    life_line: int,
    heartbeat: Heartbeat,
) -> int:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(worker_config, bound, index, ready, life_line, heartbeat))


async def _serve(
    worker_config: WorkerConfig,
    bound: list[BoundService],
    index: int,
    ready: Callable[[], None],
    life_line: int,
    heartbeat: Heartbeat,
) -> int:
    loop, log, stop = asyncio.get_running_loop(), worker_config.log, asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    adopt_library_logs(log)  # what happens in tasks and callbacks that nobody awaits
    drain = worker_config.settings.server.drain
    worker: Worker | None = None

    def orphaned() -> None:
        nonlocal drain
        drain = min(drain, ORPHAN_SECONDS)
        log.error("the main process is gone, this worker ends", worker=index)
        if worker is not None:
            worker.stop_accepting()
        close_sockets(bound)  # all of them: each is another worker's queue too, and nobody takes up what waits there

    stop_at_end_of_file(life_line, stop, orphaned)
    beat(heartbeat)
    try:
        worker = await Worker.open(worker_config, index, heartbeat=heartbeat)
    except TlsFilesError as error:
        log.error("no certificate", reason=error)
        return Exit.CONFIG
    loop.add_signal_handler(signal.SIGHUP, functools.partial(_reload, worker, worker_config))
    # The parent forked with its signals held back, so that none is lost before these handlers stand.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED)
    try:
        with watched_threads(worker.thread_died):
            await worker.start(bound, index)
            ready()
            await until_stopped(stop, worker, log)
    finally:
        await worker.stop(drain)
    return Exit.OK


def _reload(worker: Worker, worker_config: WorkerConfig) -> None:
    try:
        worker.reload()
        worker_config.log.info("certificate reloaded")
    except TlsFilesError as error:
        worker_config.log.error("certificate not reloaded", reason=error)
