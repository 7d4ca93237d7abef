"""Debian's Dovecot, as a second opinion: an instance of its own in a temporary folder, with IMAP, POP3 and LMTP.

POSTHOUSE_TEST_PEER=dovecot runs the tests of this folder against it, which
shows what is expected of the clients alone.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest
import trustme
from tests.interop.tools import tool
from tests.outside.program import PASSWORD, START_SECONDS, free_offset
from tests.outside.wire import Wire

STANDARD = {"imap": 143, "imaps": 993, "pop3": 110, "lmtp": 24}


class Dovecot:
    """A running instance; may be stopped and started again at the same ports."""

    def __init__(self, folder: Path, users: list[str]) -> None:
        offset = free_offset()
        self.ports = {name: offset + port for name, port in STANDARD.items()}
        self.ca_file = folder / "ca.pem"
        self._folder = folder
        self._config = folder / "dovecot.conf"
        self._process: subprocess.Popen[bytes] | None = None
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        leaf = authority.issue_cert("localhost", "127.0.0.1", common_name="localhost")
        leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        (folder / "mail").mkdir()
        shutil.chown(folder / "mail", "mail", "mail")
        (folder / "users").write_text("".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in users))
        self._config.write_text(self._text())

    def _text(self) -> str:
        at, here = self.ports, self._folder
        return f"""base_dir = {here}/run
state_dir = {here}/state
log_path = {here}/log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{here}/server.pem
ssl_key = <{here}/server.pem
disable_plaintext_auth = yes
passdb {{
  driver = passwd-file
  args = username_format=%u {here}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={here}/mail/%u
}}
first_valid_uid = 1
mail_location = sdbox:~/sdbox
mail_plugins = quota
mail_fsync = never
mail_max_userip_connections = 100
lmtp_save_to_detail_mailbox = no
lda_mailbox_autocreate = yes
pop3_no_flag_updates = yes
pop3_uidl_format = %g
plugin {{
  quota = count:User quota
  quota_rule = *:storage=200M
  quota_vsizes = yes
}}
namespace inbox {{
  inbox = yes
  separator = /
{_special("Drafts", "Junk", "Sent", "Trash", "Archive")}
}}
protocol imap {{
  mail_plugins = quota imap_quota
}}
protocol lmtp {{
  auth_username_format = %u
}}
service imap-login {{
  inet_listener imap {{
    port = {at["imap"]}
  }}
  inet_listener imaps {{
    port = {at["imaps"]}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {at["pop3"]}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {at["lmtp"]}
  }}
}}
"""

    @property
    def log(self) -> str:
        """What Dovecot has logged."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start and wait for the banner."""
        self._process = subprocess.Popen([tool("dovecot"), "-F", "-c", str(self._config)], start_new_session=True)
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit and self._process.poll() is None:
            try:
                with Wire(self.ports["imap"], timeout=5) as wire:
                    assert wire.line().startswith(b"* OK")
                    return
            except ConnectionError:
                time.sleep(0.05)
        raise AssertionError(f"no banner:\n{self.log}")

    def stop(self) -> None:
        """Stop the master; its children go with it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(START_SECONDS)


def _special(*names: str) -> str:
    return "\n".join(f"  mailbox {name} {{\n    auto = create\n    special_use = \\{name}\n  }}" for name in names)


@contextmanager
def dovecot(users: list[str]) -> Iterator[Dovecot]:
    """A started instance. Its processes give up root, so its folder must let other users pass through."""
    tool("dovecot")
    if os.geteuid() != 0:
        pytest.fail("Dovecot runs only when started as root: run the tests as root, in a container if need be")
    folder = Path(mkdtemp(prefix="dovecot-"))
    folder.chmod(0o755)
    server = Dovecot(folder, users)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
