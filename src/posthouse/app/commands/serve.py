"""posthouse serve: the real server."""

import asyncio
import dataclasses
import datetime
import functools
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from posthouse.app.certificate import CertificateFiles, self_signed
from posthouse.app.commands.where import NOWHERE, Where
from posthouse.app.config import Config
from posthouse.app.data_folder import require_store
from posthouse.app.descriptors import bound_connections, raise_limit
from posthouse.app.disk_errors import explain_disk_errors
from posthouse.app.disk_space import give_back, make_room
from posthouse.app.errors import CommandError, Exit
from posthouse.app.heartbeat import Heartbeat
from posthouse.app.lifetime import ORPHAN_SECONDS, beat, stop_at_end_of_file, until_stopped, watched_threads
from posthouse.app.listening import Bound, bind_all, close_all, close_sockets
from posthouse.app.logs import adopt_library_logs, open_log
from posthouse.app.malloc import tune_malloc
from posthouse.app.notify import Notifier
from posthouse.app.parent import PASSED, Parent
from posthouse.app.permissions import check_access, warn_if_open
from posthouse.app.places import Places
from posthouse.app.preload import preload
from posthouse.app.privileges import become, find_user
from posthouse.app.services import wanted
from posthouse.app.worker import Setup, Worker, prepare
from posthouse.database.server_lock import ServerLock, ServerRunningError, running_server
from posthouse.net.loop import new_event_loop
from posthouse.net.tls import TlsFilesError


def serve(*, where: Where = NOWHERE) -> int:
    """Run the server."""
    tune_malloc()
    descriptors = raise_limit()
    config = where.load()
    settings = config.settings
    assert settings.server.data is not None  # checked when the configuration was read
    count = settings.server.workers or os.cpu_count() or 1
    # In this order: the ports and the key need root, everything that is written needs the user.
    bound = bind_all(wanted(settings), count, advice=_who_runs(settings.server.data))
    try:
        with explain_disk_errors(settings.server.data):
            setup = _set_up(config, count, descriptors)
            lock = _lock(setup.places)
            setup = dataclasses.replace(setup, places=make_room(setup.places, setup.log))
            prepare(setup)
        notifier = Notifier()

        def ready() -> None:
            setup.log.info("serving", hostname=setup.hostname, workers=count, data=str(setup.places.data))

        parent = Parent(
            count=count,
            run_worker=functools.partial(_run_worker, setup, bound),
            drain=settings.server.drain,
            log=setup.log,
            notifier=notifier,
            on_ready=ready,
        )
        code = parent.run()
        give_back(setup.places)
        lock.release()
        return code
    finally:
        close_all(bound)


def _set_up(config: Config, workers: int, descriptors: int) -> Setup:
    settings = config.settings
    data = settings.server.data
    assert data is not None  # checked when the configuration was read
    user = find_user(settings.server.user) if os.geteuid() == 0 and settings.server.user else None
    require_store(Places(data))
    if user is not None:
        preload()
        become(user)
    places = Places(data)
    check_access(places)
    hostname = settings.server.hostname or socket.getfqdn()
    if settings.tls.certificate is not None and settings.tls.key is not None:
        certificate = CertificateFiles(settings.tls.certificate, settings.tls.key)
    else:
        certificate = self_signed(places.tls, [hostname], datetime.datetime.now(datetime.UTC))
    log = open_log(settings.log.level, settings.log.format)
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
        setup.log.error("no certificate", reason=str(error))
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
        setup.log.error("certificate not reloaded", reason=str(error))
