"""Exim on a host of its own, unpacked, not installed: takes mail into Maildirs, sends by MX with DANE where it can."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.world.mail import Letter, LocalClient, carry, maildir
from tests.world.net import Host
from tests.world.trust import Certificate

UNPACKED = Path(__file__).parents[2] / ".work/exim/usr/sbin/exim4"
USER = "Debian-exim"  # Debian's program looks for this one, whatever its configuration says


class Exim:
    """One instance. `locals_` are its mailboxes. Unlike Postfix it does not offer DSN: that is Exim's default."""

    def __init__(self, folder: Path, host: Host, certificate: Certificate, domain: str, locals_: Iterable[str]) -> None:
        if not UNPACKED.exists():
            pytest.fail("Exim is not unpacked: run tools/test_packages.sh as root")
        self.host = host
        self.domain = domain
        self._folder = folder
        folder.mkdir()
        # A copy that every user can reach, and without set-uid: it gives up root for good.
        shutil.copyfile(UNPACKED, folder / "exim")
        (folder / "exim").chmod(0o755)
        for name in ("spool", "log", "mail"):
            (folder / name).mkdir()
            self._give(folder / name)
        self._config = folder / "exim.conf"
        self._config.write_text(self._text(certificate, list(locals_)))

    def _give(self, path: Path) -> None:
        try:
            shutil.chown(path, USER, USER)
        except LookupError:
            pytest.fail(f"there is no user {USER}: run tools/test_packages.sh as root")

    def _text(self, certificate: Certificate, locals_: list[str]) -> str:
        return f"""primary_hostname = mx.{self.domain}
qualify_domain = {self.domain}
exim_path = {self._folder}/exim
spool_directory = {self._folder}/spool
log_file_path = {self._folder}/log/%slog
pid_file_path = {self._folder}/spool/pid
exim_user = {USER}
exim_group = {USER}
deliver_drop_privilege
keep_environment =
domainlist own = {self.domain}
acl_smtp_rcpt = check_rcpt
tls_advertise_hosts = *
tls_certificate = {certificate.chain}
tls_privatekey = {certificate.key}
smtputf8_advertise_hosts = *
rfc1413_query_timeout = 0s
dns_dnssec_ok = 1
ignore_bounce_errors_after = 0s
log_selector = +tls_cipher +tls_peerdn +dnssec
begin acl
check_rcpt:
  accept hosts = 127.0.0.1
  require message = relay not permitted
          domains = +own
  require verify = recipient
  accept
begin routers
elsewhere:
  driver = dnslookup
  domains = ! +own
  transport = by_smtp
  dnssec_request_domains = *
  no_more
here:
  driver = accept
  local_parts = {" : ".join(locals_)}
  transport = to_maildir
begin transports
by_smtp:
  driver = smtp
  hosts_try_dane = *
  dnssec_request_domains = *
to_maildir:
  driver = appendfile
  directory = {self._folder}/mail/$local_part_data
  maildir_format
  user = {USER}
  group = {USER}
  return_path_add
begin retry
* * F,1h,1s
"""

    def start(self) -> None:
        """Start it; it listens when this returns."""
        with (self._folder / "out").open("wb") as out:
            words = [str(self._folder / "exim"), "-C", str(self._config), "-bdf", "-q2s"]
            self.host.start(*words, log=out, env={"PATH": os.environ["PATH"]})
        self.host.await_port(25, log=lambda: self.log)

    def send(self, letter: Letter, options: Sequence[str] = ()) -> None:
        """From the host itself, which may send to everybody."""
        with LocalClient(self.host) as client:
            carry(client, letter, options)

    def mailbox(self, address: str) -> list[bytes]:
        """Its Maildir."""
        return maildir(self._folder / "mail" / address.rpartition("@")[0])

    def queued(self) -> int:
        """Messages in its spool."""
        return len(list((self._folder / "spool/input").rglob("*-H")))

    def reason(self, address: str) -> str:
        """Why the last attempt for an address came to nothing; "" when there was none."""
        found = re.findall(rf" == {re.escape(address)} .* defer .*", self.log)
        # Its queue runner looks again before it is time, and says only that.
        tried = [line for line in found if "retry time not reached" not in line]
        return tried[-1] if tried else ""

    def forget(self) -> None:
        """Drop all that waits."""
        ids = [path.name.removesuffix("-H") for path in (self._folder / "spool/input").rglob("*-H")]
        if ids:
            words = [str(self._folder / "exim"), "-C", str(self._config), "-Mrm", *ids]
            self.host.run(*words, allowed=(0, 1))  # 1: one of them has gone meanwhile

    @property
    def log(self) -> str:
        """Its logs, and what it said when it started."""
        paths = [*sorted((self._folder / "log").glob("*")), self._folder / "out"]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())
