"""What `posthouse dev` says once it is ready: to a person, or to a program."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from posthouse.app.dev_accounts import DevAccount
from posthouse.app.output import styled
from posthouse.app.worker import Setup

_SAID = {
    "smtp": "mail from other servers",
    "submission": "mail from clients, STARTTLS",
    "submissions": "mail from clients, TLS",
    "lmtp": "mail from a server in front",
    "pop3": "collect, STLS",
    "pop3s": "collect, TLS",
    "imap": "read, STARTTLS",
    "imaps": "read, TLS",
}


def show(host: str, domain: str, ports: Mapping[str, int], accounts: Sequence[DevAccount], *, kept: str) -> None:
    """Print it, readable at a glance."""
    first = accounts[0]
    lines = [
        f"{styled('Posthouse is ready', 'bold', sys.stdout)} for {domain}, on {host} alone.",
        "",
        *(
            f"  {name:<12} {styled(f'{host}:{port}', 'cyan', sys.stdout):<16}  {_SAID[name]}"
            for name, port in ports.items()
        ),
        "",
        *(f"  {account.address:<20} password {styled(account.password, 'green', sys.stdout)}" for account in accounts),
        f"  {'anyone else':<20} at {domain} goes to {first.address.partition('@')[0]}",
        "",
        "Send:",
        f"  swaks --server {host}:{ports['smtp']} --to {first.address}",
        f"  printf 'Subject: hello\\r\\n\\r\\nHi.\\r\\n' | curl smtp://{host}:{ports['smtp']} \\",
        f"      --mail-from me@example.org --mail-rcpt {first.address} -T -",
        "Collect:",
        f"  curl pop3://{host}:{ports['pop3']}/1 -u {shlex.quote(f'{first.address}:{first.password}')}",
        "Read:",
        f"  curl 'imap://{host}:{ports['imap']}/INBOX;UID=1' -u {shlex.quote(f'{first.address}:{first.password}')}",
        "",
        f"Kept in {kept}." if kept else "Nothing is kept. (--data DIR keeps it.)",
        styled("Ctrl-C ends it.", "dim", sys.stdout),
    ]
    print("\n".join(lines), flush=True)


def as_document(
    host: str, domain: str, ports: Mapping[str, int], accounts: Sequence[DevAccount], setup: Setup
) -> dict[str, object]:
    """The same for programs: one JSON document with steady keys."""
    return {
        "version": 1,
        "domain": domain,
        "host": host,
        "ports": dict(ports),
        "accounts": [{"address": account.address, "password": account.password} for account in accounts],
        "certificate": str(setup.certificate.certificate),
        "data": str(setup.places.data),
        "pid": os.getpid(),
    }
