"""What a start loads: each second of it is waited for, so what one command or one setting alone needs comes later."""

import subprocess
import sys
from pathlib import Path

import pytest

SENDING = (
    "posthouse.app.outgoing",
    "posthouse.net.dns.resolver",
    "posthouse.net.fetch",
    "posthouse.net.verify",
    "dns.",
)
OF_COMMANDS = ("posthouse.app.commands", "posthouse.app.dev", "cyclopts", "tomlkit")


def loaded(program: str, *arguments: str) -> set[str]:
    """The modules that are there at the end of a program."""
    program = f"import sys\n{program}\nprint('modules', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def among(modules: set[str], names: tuple[str, ...]) -> list[str]:
    return sorted(
        module for module in modules if f"{module}.".startswith(tuple(f"{name.strip('.')}." for name in names))
    )


def test_help_loads_the_command_line_alone() -> None:
    modules = loaded("from posthouse.app.cli import main; main(['--help'])")
    assert "cyclopts" in modules
    late = (
        "asyncio",
        "ssl",
        "apsw",
        "structlog",
        "json",
        "shutil",
        "cryptography",
        "posthouse.accounts",
        "posthouse.net",
    )
    assert among(modules, (*late, *OF_COMMANDS[:2])) == []


def test_a_worker_loads_no_command_and_nothing_that_only_sends() -> None:
    modules = loaded("import posthouse.app.process.worker")
    assert "posthouse.sessions.smtp" in modules
    assert among(modules, (*SENDING, *OF_COMMANDS, "cryptography.x509", "email.message", "http")) == []


@pytest.mark.parametrize("sends", [True, False])
def test_what_sends_is_loaded_once_for_all_workers_or_not_at_all(sends: bool, tmp_path: Path) -> None:
    """`prepare` runs in the parent, before it forks."""
    modules = loaded(
        """
from pathlib import Path
from posthouse.app.commands.dev import _now
from posthouse.app.config.settings import OutgoingSection, ServerSection, Settings
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.making import make
from posthouse.app.process.certificate import self_signed
from posthouse.app.process.logs import open_log
from posthouse.app.process.preparation import prepare
from posthouse.app.process.worker_config import WorkerConfig
paths = DataPaths(Path(sys.argv[1]))
make(paths)
sends = OutgoingSection(enabled=sys.argv[2] == "True")
settings = Settings(server=ServerSection(hostname="mail.example.test", data=paths.data), outgoing=sends)
prepare(WorkerConfig(settings, "mail.example.test", paths, self_signed(paths.tls, ["x.test"], _now()), open_log()))
""",
        str(tmp_path),
        str(sends),
    )
    assert ("posthouse.app.outgoing" in modules) == sends
