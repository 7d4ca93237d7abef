"""Debian's Postfix on a host of its own: takes mail into Maildirs, sends by MX with DANE where it can."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.interop.tools import tool
from tests.world.mail import Letter, LocalClient, carry, maildir
from tests.world.net import Host
from tests.world.trust import Certificate

NOBODY = 65534


class Postfix:
    """One instance. `addresses` are its mailboxes; the domain of the first one is its own."""

    def __init__(self, folder: Path, host: Host, certificate: Certificate, addresses: Iterable[str]) -> None:
        self.host = host
        self._addresses = list(addresses)
        self.domain = self._addresses[0].rpartition("@")[2]
        self._folder = folder
        self._etc = folder / "etc"
        for path in (folder, *(folder / name for name in ("etc", "queue", "data", "mail"))):
            path.mkdir()
        shutil.chown(folder / "data", "postfix")
        os.chown(folder / "mail", NOBODY, NOBODY)
        (self._etc / "main.cf").write_text(self._main(certificate))
        (self._etc / "master.cf").write_text(self._master())
        (self._etc / "mailboxes").write_text("".join(f"{each} {_place(each)}/\n" for each in self._addresses))
        for name in ("dynamicmaps.cf", "postfix-files"):
            if (source := Path("/etc/postfix") / name).exists():
                shutil.copy(source, self._etc)

    def _main(self, certificate: Certificate) -> str:
        domains = sorted({address.rpartition("@")[2] for address in self._addresses})
        return f"""compatibility_level = 3.6
queue_directory = {self._folder}/queue
data_directory = {self._folder}/data
maillog_file = {self._folder}/log
maillog_file_prefixes = {self._folder}
myhostname = mx.{self.domain}
myorigin = {self.domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_protocols = all
alias_maps =
alias_database =
virtual_mailbox_domains = {" ".join(domains)}
virtual_mailbox_maps = texthash:{self._etc}/mailboxes
virtual_mailbox_base = {self._folder}/mail
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = {certificate.both}
smtpd_tls_received_header = yes
smtpd_peername_lookup = yes
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_tls_loglevel = 1
smtpd_tls_loglevel = 1
smtputf8_enable = yes
notify_classes =
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"""

    def _master(self) -> str:
        lines = []
        for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            words = line.split()
            if not line[:1].isspace() and not line.startswith("#") and len(words) >= 8:
                words[4] = "n"  # no chroot: the folder has no copies of system files
                line = " ".join(words)
            lines.append(line)
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start it; it listens when this returns."""
        self.host.run(tool("postfix"), "-c", str(self._etc), "start")
        self.host.await_port(25, log=lambda: self.log)

    def send(self, letter: Letter, options: Sequence[str] = ()) -> None:
        """From the host itself, which may send to everybody."""
        with LocalClient(self.host) as client:
            carry(client, letter, options)

    def mailbox(self, address: str) -> list[bytes]:
        """Its Maildir."""
        return maildir(self._folder / "mail" / _place(address))

    def queued(self) -> int:
        """Messages in all of its queues."""
        names = ("maildrop", "incoming", "active", "deferred")
        return sum(path.is_file() for name in names for path in (self._folder / "queue" / name).rglob("*"))

    def reason(self, address: str) -> str:
        """Why the last attempt for an address came to nothing; "" when there was none."""
        found = re.findall(rf"to=<{re.escape(address)}>.* status=deferred \((.*)\)", self.log)
        return found[-1] if found else ""

    def forget(self) -> None:
        """Drop all that waits."""
        self.host.run(tool("postsuper"), "-c", str(self._etc), "-d", "ALL")

    @property
    def log(self) -> str:
        """Its log file."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


def _place(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{domain}/{local}"
