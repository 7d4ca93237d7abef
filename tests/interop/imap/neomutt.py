"""NeoMutt on a terminal of its own, with the keys of its user pressed beforehand."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.interop.imap.account import ImapAccount
from tests.interop.tools import SECONDS, tool

_SETTINGS = """
set imap_user="{user}" imap_pass="{password}"
set folder="{url}" spoolfile="+INBOX" record="" postponed="" trash=""
set certificate_file="{ca}" ssl_force_tls=yes ssl_starttls=yes
set imap_condstore=yes imap_qresync=yes imap_idle=yes
set header_cache="{home}/cache" message_cachedir="{home}/bodies"
set imap_check_subscribed=no mail_check=1 timeout=1 sleep_time=0 beep=no wait_key=no
set confirmappend=no confirmcreate=no delete=yes move=no mark_old=no quit=yes resume_draft_files=yes
set sort=mailbox-order
color error red default
"""


def neomutt(account: ImapAccount, home: Path, keys: Sequence[str], folder: str = "INBOX", *, tls: bool = True) -> str:
    """Open `folder`, press `keys` and leave; what stood on the screen. A key is a NeoMutt function or literal text.

    What it caches in `home` is there for the next run, which resynchronises quickly (RFC 7162) where the server can.
    """
    scheme, port = ("imaps", account.tls_port) if tls else ("imap", account.port)
    rc = home / "neomuttrc"
    url = f"{scheme}://{account.host}:{port}/"
    settings = {"user": account.user, "password": account.password, "ca": account.ca_file}
    rc.write_text(_SETTINGS.format(**settings, url=url, home=home))
    pushed = "".join([*keys, "<quit>"]).replace("\\", "\\\\").replace('"', '\\"')
    command = [tool("neomutt"), "-n", "-F", str(rc), "-f", url + folder, "-e", f'push "{pushed}"']
    return _on_a_terminal(command, home)


def _on_a_terminal(command: list[str], home: Path) -> str:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home, start_new_session=True
        ) as process:
            os.close(theirs)
            screen = _read(ours, time.monotonic() + SECONDS / 4)
            if process.poll() is None:
                try:
                    process.wait(2)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise AssertionError(
                        f"{command}: still there, with this on the screen:\n{screen[-4000:]}"
                    ) from None
    finally:
        os.close(ours)
    assert process.returncode == 0, f"{command}: {process.returncode}\n{screen[-4000:]}"
    return screen


def _read(terminal: int, limit: float) -> str:
    """All that is written to the terminal until its program has gone."""
    pieces = []
    while select.select([terminal], [], [], max(0.0, limit - time.monotonic()))[0]:
        try:
            pieces.append(os.read(terminal, 65536))
        except OSError:  # EIO: nobody holds the other end any more
            break
    return b"".join(pieces).decode(errors="replace")
