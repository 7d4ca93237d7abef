"""A worker lets go of all that it has opened, however far it came."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.accounts.interface import Account
from posthouse.accounts.sending_limits import Taken
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app.commands.dev import _now
from posthouse.app.config.settings import ServerSection, Settings, SmtpSection, SubmissionSection
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.making import make
from posthouse.app.process import worker as module
from posthouse.app.process.certificate import self_signed
from posthouse.app.process.preparation import prepare
from posthouse.app.process.worker import Worker
from posthouse.app.process.worker_config import WorkerConfig
from posthouse.delivery.inbound.router import NO_RELAY, Routed
from posthouse.message.address import Address
from posthouse.message.envelope import ReversePath
from posthouse.message.ip import canonical_network
from posthouse.message.reply import Reply


@pytest.fixture
def logged() -> LogCapture:
    return LogCapture()


@pytest.fixture
def config(tmp_path: Path, logged: LogCapture) -> WorkerConfig:
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    paths = DataPaths(tmp_path / "data")
    paths.data.mkdir()
    make(paths)
    settings = Settings(server=ServerSection(hostname="mail.example.test", data=paths.data))
    certificate = self_signed(paths.tls, ["mail.example.test"], _now())
    made = WorkerConfig(settings, "mail.example.test", paths, certificate, log)
    prepare(made)
    return made


def held(folder: Path) -> list[str]:
    """What this process has open below a folder, and its threads."""
    files = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [file for file in files if file.startswith(str(folder))] + [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("commit", "reader", "hashing"))
    ]


def fail(*_args: object, **_more: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "part",
    [
        "SocketBus",
        "SqliteMailstore.open",
        "open_index",
        "SqliteDirectory",
        "SqliteLeases",
        "build_incoming",
        "Server",
    ],
)
async def test_half_a_worker_is_let_go_of(config: WorkerConfig, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    name, _, method = part.partition(".")
    monkeypatch.setattr(getattr(module, name), method, fail) if method else monkeypatch.setattr(module, name, fail)
    with pytest.raises(ZeroDivisionError):
        await Worker.open(config)
    assert held(config.paths.data) == []


async def test_a_whole_one_is_let_go_of_even_if_a_part_fails(
    config: WorkerConfig, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await Worker.open(config)
    await opened.start([])
    assert held(config.paths.data)
    close = opened._mailstore.close

    async def fails_in_the_end() -> None:
        await close()
        raise OSError("no space left")

    opened._parts._open = [
        (name, fails_in_the_end if name == "mailstore" else each) for name, each in opened._parts._open
    ]
    await opened.stop(0.0)
    assert held(config.paths.data) == []
    assert [entry["part"] for entry in logged.entries if entry["event"] == "not closed"] == ["mailstore"]
    assert len(asyncio.all_tasks()) == 1


async def test_who_may_end_lines_with_lf_is_configured(config: WorkerConfig) -> None:
    networks = (canonical_network("10.0.0.0/8"),)
    settings = replace(config.settings, smtp=SmtpSection(bare_lf_from=networks))
    opened = await Worker.open(replace(config, settings=settings))
    allows = opened._services.allows_bare_lf
    assert [allows(ip) for ip in ("10.1.2.3", "192.0.2.1", "")] == [True, False, False]
    await opened.stop(0.0)


async def test_an_account_has_limits_unless_the_configuration_takes_them_away(config: WorkerConfig) -> None:
    account = Account(1, Address("alice", "example.test"), None)
    many = [Address(f"x{n}", "there.test") for n in range(201)]
    opened = await Worker.open(config)
    submission = opened._services.incoming._submission
    assert submission is not None
    refusal = submission.take_allowance(account, many)
    assert isinstance(refusal, Reply) and "200 new recipients in 24 hours" in refusal.text
    assert isinstance(submission.take_allowance(account, many[:200]), Taken)
    for _ in range(999):
        assert isinstance(submission.take_allowance(account, many[:1]), Taken)
    refusal = submission.take_allowance(account, many[:1])
    assert isinstance(refusal, Reply) and "1000 messages in 24 hours" in refusal.text
    await opened.stop(0.0)
    free = replace(config.settings, submission=SubmissionSection(messages=0, new_recipients=0))
    opened = await Worker.open(replace(config, settings=free))
    submission = opened._services.incoming._submission
    assert submission is not None and submission.take_allowance(account, many) is None
    await opened.stop(0.0)


async def test_postmaster_is_reached_at_the_servers_own_name(config: WorkerConfig) -> None:
    with SqliteRegistry(config.paths.directory) as registry:
        registry.domains.add("own.test")
        registry.accounts.add("alice@own.test", None)
    opened = await Worker.open(config)
    router = opened._services.incoming._router
    for local in ("postmaster", "abuse"):
        routed = router.resolve(Address(local, "mail.example.test"), ReversePath(None), may_relay=False)
        assert isinstance(routed, Routed) and [str(each.address) for each in routed.accounts] == ["alice@own.test"]
    assert router.resolve(Address("alice", "mail.example.test"), ReversePath(None), may_relay=False) == NO_RELAY
    await opened.stop(0.0)


async def test_a_chore_that_failed_is_done_again(
    config: WorkerConfig, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PURGE_SECONDS", 0.001)
    opened = await Worker.open(config)
    purged = asyncio.Event()
    calls = 0

    async def purge() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError
        purged.set()

    monkeypatch.setattr(opened, "_purge", purge)
    await opened.start([])
    await purged.wait()
    await opened.stop(0.0)
    assert [(entry["event"], entry["task"]) for entry in logged.entries if "task" in entry] == [
        ("task failed", "purge")
    ]


async def test_a_worker_that_lost_a_thread_has_failed(config: WorkerConfig, logged: LogCapture) -> None:
    opened = await Worker.open(config)
    assert not opened.failed.is_set()
    thread = threading.Thread(target=opened.thread_died, args=(ZeroDivisionError(),))
    thread.start()
    await opened.failed.wait()
    thread.join()
    await opened.stop(0.0)
    died = [entry["exc_info"] for entry in logged.entries if entry["event"] == "thread died"]
    assert [type(error) for error in died] == [ZeroDivisionError]


SABOTAGED = """
import asyncio, sys, time
from pathlib import Path
from posthouse.app.process.certificate import self_signed
from posthouse.app.commands.dev import _now
from posthouse.app.process.lifetime import until_stopped, watched_threads
from posthouse.app.process.logs import open_log
from posthouse.app.data_folder.making import make
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.config.settings import ServerSection, Settings, SmtpSection
from posthouse.app.process.preparation import prepare
from posthouse.app.process.worker import Worker
from posthouse.app.process.worker_config import WorkerConfig

def fail(*_):
    raise ZeroDivisionError("nobody thought of this")

async def main():
    paths = DataPaths(Path(sys.argv[1]))
    make(paths)
    settings = Settings(server=ServerSection(hostname="mail.example.test", data=paths.data))
    config = WorkerConfig(settings, "mail.example.test", paths, self_signed(paths.tls, ["x.test"], _now()), open_log())
    prepare(config)
    worker = await Worker.open(config)
    with watched_threads(worker.thread_died):
        await worker.start([])
        setattr(worker._mailstore._commit, sys.argv[2], fail)
        waiting = asyncio.ensure_future(worker._mailstore.create(1, "Other"))
        await until_stopped(asyncio.Event(), worker, config.log)

asyncio.run(main())
"""


@pytest.mark.parametrize("step", ["_settle", "_complete"])
def test_a_commit_thread_that_dies_ends_the_worker(tmp_path: Path, step: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SABOTAGED, str(tmp_path), step], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "thread died" in done.stderr
    assert "nobody thought of this" in done.stderr
