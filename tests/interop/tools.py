"""Foreign programs: found or named with their Debian package, run with a bound on time."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGES = {
    "swaks": "swaks",
    "msmtp": "msmtp",
    "mpop": "mpop",
    "fetchmail": "fetchmail",
    "getmail": "getmail6",
    "s-nail": "s-nail",
    "curl": "curl",
    "postfix": "postfix",
    "dovecot": "dovecot-imapd",
    "mbsync": "isync",
    "offlineimap": "offlineimap3",
    "neomutt": "neomutt",
    "openssl": "openssl",
    "thunderbird": "thunderbird",
    "mutt": "mutt",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "keytool": "default-jdk-headless",
    "node": "nodejs",
    "perl": "libmail-imapclient-perl",
    "php": "php-cli php-imap",
    "ruby": "ruby",
}
SECONDS = 110


def tool(name: str) -> str:
    """The path of a foreign program. A missing one fails the test: what is not run is not known to work."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        pytest.fail(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    return path


def run(
    *command: str,
    home: Path,
    stdin: bytes = b"",
    allowed: tuple[int, ...] = (0,),
    more: Mapping[str, str] | None = None,
) -> str:
    """Run a foreign program with `home` as its home; what it printed. Another exit code fails with all of it.

    `more` stands in its environment.
    """
    environment = {"HOME": str(home), "FETCHMAILHOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    environment |= more or {}
    done = subprocess.run(
        command, input=stdin, capture_output=True, cwd=home, env=environment, timeout=SECONDS, check=False
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode not in allowed:
        pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{said[-4000:]}")
    return said
