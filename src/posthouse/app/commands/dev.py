"""posthouse dev: a whole server on loopback, ready accounts, nothing to configure."""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from posthouse.app import output, welcome
from posthouse.app.certificate import self_signed
from posthouse.app.data_folder import is_new
from posthouse.app.descriptors import raise_limit
from posthouse.app.dev_accounts import DOMAIN, DevAccount, prepare_accounts
from posthouse.app.disk_errors import explain_disk_errors
from posthouse.app.disk_space import give_back, make_room
from posthouse.app.endpoints import Endpoint
from posthouse.app.errors import CommandError, Exit
from posthouse.app.lifetime import until_stopped, watched_threads
from posthouse.app.listening import Bound, bind_all, close_all
from posthouse.app.logs import adopt_library_logs, open_log
from posthouse.app.making import make
from posthouse.app.malloc import tune_malloc
from posthouse.app.places import Places
from posthouse.app.services import Service, Wanted
from posthouse.app.settings import LimitsSettings, LoginSettings, OutgoingSettings, ServerSettings, Settings
from posthouse.app.worker import Setup, Worker, prepare
from posthouse.database.server_lock import ServerLock, ServerRunningError
from posthouse.net.loop import new_event_loop

HOST = "127.0.0.1"
_GRACE = 2.0  # seconds


def dev(
    *,
    data: Annotated[Path | None, Parameter(help="Keep everything in this folder (otherwise nothing is kept).")] = None,
    port_offset: Annotated[int, Parameter(help="Added to the standard ports: 25 becomes 1025.")] = 1000,
    password: Annotated[str | None, Parameter(help="The password of both accounts (otherwise random ones).")] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Write one JSON line once all are ready, for programs.")
    ] = False,
) -> int:
    """Start all services on this machine alone, to try things out."""
    if not 0 <= port_offset <= 64_000:
        raise CommandError("--port-offset is out of range", fix="Give a number from 0 to 64000.", code=Exit.USAGE)
    tune_malloc()
    raise_limit()
    bound = bind_all(
        [Wanted(service, Endpoint(HOST, service.standard_port + port_offset), "--port-offset") for service in Service],
        1,
        advice="Is another `posthouse dev` running? Choose other ports: posthouse dev --port-offset 2000",
    )
    folder = data or Path(tempfile.mkdtemp(prefix="posthouse-dev-"))
    try:
        with explain_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(folder, bound, password, kept=data is not None, as_json=as_json))
    finally:
        close_all(bound)
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)
    return Exit.OK


async def _serve(folder: Path, bound: list[Bound], password: str | None, *, kept: bool, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(folder, bound, password) as (accounts, setup):
        adopt_library_logs(setup.log)
        ports = {place.service.value: place.endpoint.port for place in bound}
        if as_json:
            output.document(welcome.as_document(HOST, DOMAIN, ports, accounts, setup))
        else:
            welcome.show(HOST, DOMAIN, ports, accounts, kept=str(folder) if kept else "")
        await stop.wait()


@contextlib.asynccontextmanager
async def running(
    folder: Path, bound: list[Bound], password: str | None = None
) -> AsyncIterator[tuple[list[DevAccount], Setup]]:
    """Serve on the bound places from `folder` while the block runs. Raises CommandError."""
    try:
        with explain_disk_errors(folder):
            lock = ServerLock.acquire(folder)
    except ServerRunningError as error:
        fix = "Stop that one, or choose another folder with --data."
        raise CommandError(str(error), fix=fix, code=Exit.UNAVAILABLE) from None
    try:
        with explain_disk_errors(folder):
            accounts, setup = _set_up(Places(folder), password)
            worker = await Worker.open(setup)
        try:
            with watched_threads(worker.thread_died):
                await worker.start(bound)
                ends = asyncio.ensure_future(until_stopped(asyncio.Event(), worker, setup.log))
                try:
                    yield accounts, setup
                finally:
                    ends.cancel()
        finally:
            await worker.stop(_GRACE)
            give_back(setup.places)
    finally:
        lock.release()


def _set_up(places: Places, password: str | None) -> tuple[list[DevAccount], Setup]:
    log = open_log("info" if os.environ.get("POSTHOUSE_LOG") else "warning", brief=True)
    places = make_room(places, log)
    if is_new(places):
        make(places)
    accounts = prepare_accounts(places, password)
    setup = Setup(
        settings=_settings(places.data),
        hostname=f"mail.{DOMAIN}",
        places=places,
        certificate=self_signed(places.tls, ["localhost", HOST, f"mail.{DOMAIN}"], _now()),
        log=log,
    )
    prepare(setup)
    return accounts, setup


def _settings(folder: Path) -> Settings:
    return dataclasses.replace(
        Settings(),
        server=ServerSettings(hostname=f"mail.{DOMAIN}", data=folder, user=""),
        login=LoginSettings(plain_on_loopback=True),
        outgoing=OutgoingSettings(enabled=False),  # whatever is tried out here, nothing leaves this machine
        limits=LimitsSettings(per_address=10_000),  # every peer is this one machine
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
