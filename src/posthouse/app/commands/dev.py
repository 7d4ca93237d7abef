"""posthouse dev: a whole server on loopback that takes any mail and sends none; nothing to configure."""

import asyncio
import contextlib
import dataclasses
import datetime
import gc
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from structlog.typing import FilteringBoundLogger

from posthouse.app import output
from posthouse.app.commands.passwords import generated
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.services import ListenRequest, Service
from posthouse.app.config.settings import (
    LimitsSection,
    LoginSection,
    OutgoingSection,
    ServerSection,
    Settings,
    SubmissionSection,
)
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_errors import explain_disk_errors
from posthouse.app.data_folder.disk_space import give_back, make_room
from posthouse.app.data_folder.making import make
from posthouse.app.data_folder.parts import is_new
from posthouse.app.dev import welcome
from posthouse.app.dev.accounts import DOMAIN, DevAccount, prepare_accounts
from posthouse.app.dev.feed import Feed, left_out
from posthouse.app.dev.lines import LineWriter
from posthouse.app.dev.worker import CatchAllWorker
from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.certificate import self_signed
from posthouse.app.process.descriptors import raise_limit
from posthouse.app.process.interruption import interruptible, uninterrupted
from posthouse.app.process.lifetime import until_stopped, watched_threads
from posthouse.app.process.listening import BoundService, bind_all, close_all
from posthouse.app.process.logs import adopt_library_logs, open_log
from posthouse.app.process.memory import tune_memory
from posthouse.app.process.preparation import prepare
from posthouse.app.process.worker import Worker
from posthouse.app.process.worker_config import WorkerConfig
from posthouse.database.server_lock import ServerLock, ServerRunningError
from posthouse.net.loop import new_event_loop

HOST = "127.0.0.1"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OFFSET = 1000  # added to the standard ports
_GRACE = 0.1  # seconds for what is under way at the end; connections at rest are closed at once
_LEFTOVERS = frozenset({"server.lock", "write.lock", "reserve", "lost+found"})  # what a start that was killed may leave
_LAST_LINES = 0.05  # seconds for the feed's reader to take what is left


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the command line asks for, beside where to listen and where to keep things."""

    strict: bool = False
    password: str | None = None
    as_json: bool = False
    quiet: bool = True


def dev(
    *,
    data: Annotated[Path | None, Parameter(help="Keep everything in this folder (otherwise nothing is kept).")] = None,
    port_offset: Annotated[
        int | None,
        Parameter(
            help="Added to the standard ports: with 1000, the default, 25 becomes 1025.",
            converter=lambda _, tokens: _whole_number(tokens[0].value),
        ),
    ] = None,
    free_ports: Annotated[bool, Parameter(help="Let the system choose free ports; --json tells which.")] = False,
    strict: Annotated[
        bool, Parameter(help="Be a real server: two accounts, no relaying, logins and senders are checked.")
    ] = False,
    password: Annotated[
        str | None, Parameter(help="With --strict: the password of both accounts (otherwise random ones).")
    ] = None,
    quiet: Annotated[bool, Parameter(help="Show no mail as it comes in, and no refusals.")] = False,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Write JSON, for programs: a line once all are ready, then one per event.")
    ] = False,
) -> int:
    """Take any mail on this machine, show it and send none: for trying things out."""
    tune_memory()
    raise_limit()
    options = DevOptions(strict=strict, password=_checked(password, strict=strict), as_json=as_json, quiet=quiet)
    if data is not None:
        _check_folder(data)
    with interruptible() as undo:
        _run(data, _places(port_offset, free_ports=free_ports), options, undo)
    gc.freeze()  # Python's last look at all objects would take 100 ms, and nothing is left to be found
    return Exit.OK


def _run(data: Path | None, paths: list[ListenRequest], options: DevOptions, undo: contextlib.ExitStack) -> None:
    """All of it. What it makes and must not leave behind joins `undo`."""
    advice = "Is another `posthouse dev` running? Choose other ports: --port-offset 2000, or --free-ports"
    bound = bind_all(paths, 1, advice=advice)
    undo.callback(close_all, bound)
    with uninterrupted():
        folder = data or Path(tempfile.mkdtemp(prefix="posthouse-dev-"))
        if data is None:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(folder, bound, options, kept=data is not None))


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # cyclopts by itself would take 1.5 for 2
        raise ValueError(f'"{text}" is no whole number') from None


def _check_folder(data: Path) -> None:
    """Mail goes into a folder of its own, and not among the files of somebody's project."""
    if data.exists() and not data.is_dir():
        raise CommandError(f"--data: {data} is no folder", fix="Name a folder: --data ./mail", code=Exit.USAGE)
    with explain_disk_errors(data):
        there = {each.name for each in data.iterdir()} if data.is_dir() else set()
    if there - _LEFTOVERS and "packs" not in there and is_new(DataPaths(data)):
        fix = f"Name a folder that is empty, or not there yet: --data {shlex.quote(str(data / 'mail'))}"
        raise CommandError(f"--data: {data} has other things in it, and no mail", fix=fix, code=Exit.USAGE)


def _checked(password: str | None, *, strict: bool) -> str | None:
    if password is not None and not strict:
        fix = "Leave it out, or give --strict as well for two accounts with that password."
        raise CommandError("without --strict any password is the right one", fix=fix, code=Exit.USAGE)
    return password


def _places(offset: int | None, *, free_ports: bool) -> list[ListenRequest]:
    if free_ports:
        if offset is not None:
            fix = "Give one of them."
            raise CommandError("--free-ports and --port-offset exclude each other", fix=fix, code=Exit.USAGE)
        return [ListenRequest(service, Endpoint(HOST, 0), "--free-ports") for service in Service]
    added = _OFFSET if offset is None else offset
    if not 0 <= added <= 64_000:
        raise CommandError("--port-offset is out of range", fix="Give a number from 0 to 64000.", code=Exit.USAGE)
    return [
        ListenRequest(service, Endpoint(HOST, service.standard_port + added), "--port-offset") for service in Service
    ]


async def _serve(folder: Path, bound: list[BoundService], options: DevOptions, *, kept: bool) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    caught = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    for number in caught:  # not by the loop, which would let them kill again as soon as it is closed
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    with _feed(options) as feed:
        async with running(folder, bound, options, feed) as (accounts, worker_config):
            adopt_library_logs(worker_config.log)
            ports = {place.service.value: place.endpoint.port for place in bound}
            with _explained_output():
                if options.as_json:
                    output.document(welcome.as_document(HOST, ports, accounts, worker_config, strict=options.strict))
                else:
                    welcome.show(HOST, ports, accounts, worker_config, strict=options.strict, kept=kept)
            await stop.wait()
            for number in caught:  # a second Ctrl-C must not cut off what removes the folder
                signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _explained_output() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        text = f"standard output cannot be written to: {error.strerror}"
        raise CommandError(text) from error


@contextlib.contextmanager
def _feed(options: DevOptions) -> Iterator[Feed | None]:
    if options.quiet:
        yield None
        return
    lines = LineWriter(sys.stdout.fileno(), left_out(options.as_json))
    try:
        yield Feed(lines.write, as_json=options.as_json, colour=output.has_colour(sys.stdout))
    finally:
        lines.close(_LAST_LINES)


@contextlib.asynccontextmanager
async def running(
    folder: Path, bound: list[BoundService], options: DevOptions, feed: Feed | None = None
) -> AsyncIterator[tuple[list[DevAccount], WorkerConfig]]:
    """Serve on the bound places from `folder` while the block runs. Raises CommandError."""
    try:
        with explain_disk_errors(folder):
            lock = ServerLock.acquire(folder)
    except ServerRunningError as error:
        fix = "Stop that one, or choose another folder with --data."
        raise CommandError(str(error), fix=fix, code=Exit.UNAVAILABLE) from None
    try:
        with explain_disk_errors(folder):
            accounts, worker_config = _set_up(DataPaths(folder), options, feed)
            try:
                worker = await (Worker if options.strict else CatchAllWorker).open(worker_config)
            except BaseException:
                give_back(worker_config.paths)
                raise
        try:
            with watched_threads(worker.thread_died):
                await worker.start(bound)
                ends = asyncio.ensure_future(until_stopped(asyncio.Event(), worker, worker_config.log))
                try:
                    yield accounts, worker_config
                finally:
                    ends.cancel()
        finally:
            await worker.stop(_GRACE, linger=False)
            give_back(worker_config.paths)
    finally:
        lock.release()


def _set_up(paths: DataPaths, options: DevOptions, feed: Feed | None) -> tuple[list[DevAccount], WorkerConfig]:
    log = open_log("info" if os.environ.get("POSTHOUSE_LOG") else "warning", brief=True)
    paths = make_room(paths, log)
    try:
        return _prepared(paths, options, feed, log)
    except BaseException:
        give_back(paths)
        raise


def _prepared(
    paths: DataPaths, options: DevOptions, feed: Feed | None, log: FilteringBoundLogger
) -> tuple[list[DevAccount], WorkerConfig]:
    if is_new(paths):
        make(paths)
    accounts = prepare_accounts(paths, options.password, generated) if options.strict else []
    worker_config = WorkerConfig(
        settings=_settings(paths.data),
        hostname=f"mail.{DOMAIN}",
        paths=paths,
        certificate=self_signed(paths.tls, ["localhost", HOST, f"mail.{DOMAIN}"], _now()),
        log=log,
        on_received=feed.arrived if feed is not None else None,
        on_refusal=feed.refused if feed is not None else None,
    )
    prepare(worker_config)
    return accounts, worker_config


def _settings(folder: Path) -> Settings:
    return dataclasses.replace(
        Settings(),
        server=ServerSection(hostname=f"mail.{DOMAIN}", data=folder, user=""),
        login=LoginSection(plain_on_loopback=True),
        outgoing=OutgoingSection(enabled=False),  # whatever is tried out here, nothing leaves this machine
        submission=SubmissionSection(messages=0, new_recipients=0),  # a test run sends more than a person
        limits=LimitsSection(per_address=10_000),  # every peer is this one machine
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
