"""What `posthouse dev` says once it is ready: to a person, or to a program."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from posthouse.app.dev.accounts import DOMAIN, DevAccount
from posthouse.app.output import styled
from posthouse.app.process.worker_config import WorkerConfig

_STRICT = {
    "smtp": "mail from other servers",
    "submission": "mail from clients, STARTTLS",
    "submissions": "mail from clients, TLS",
    "lmtp": "mail from a server in front",
    "pop3": "collect, STLS",
    "pop3s": "collect, TLS",
    "imap": "read, STARTTLS",
    "imaps": "read, TLS",
}
_ANY = _STRICT | {
    "smtp": "send, with any login or none",
    "submission": "send, STARTTLS",
    "submissions": "send, TLS",
}
_SOMEBODY = "customer@example.com"


def show(
    host: str,
    ports: Mapping[str, int],
    accounts: Sequence[DevAccount],
    worker_config: WorkerConfig,
    *,
    strict: bool,
    kept: bool,
) -> None:
    """Print it, readable at a glance. `accounts` are those of a strict server."""
    feed = " Mail that comes in is shown below." if worker_config.on_received is not None else ""
    ready = styled("Posthouse is ready", "bold", sys.stdout)
    if strict:
        head = f"{ready} for {DOMAIN}, on {host} alone."
        people = _accounts(accounts)
    else:
        head = f"{ready}: it takes any mail and sends none. On {host} alone."
        people = [
            "  Each address has a mailbox: log in with the address and any password.",
            f"  The login {styled('all', 'green', sys.stdout)} sees the mail of everybody.",
        ]
    purposes = _STRICT if strict else _ANY
    lines = [
        head,
        "",
        *(
            f"  {name:<12} {styled(f'{host}:{port}', 'cyan', sys.stdout):<16}  {purposes[name]}"
            for name, port in ports.items()
        ),
        "",
        *people,
        "",
        *_examples(host, ports, accounts[0] if strict else DevAccount(_SOMEBODY, "x")),
        "",
        f"To trust its certificate: export SSL_CERT_FILE={shlex.quote(str(worker_config.certificate.certificate))}",
        f"Kept in {worker_config.paths.data}." if kept else "Nothing is kept. (--data DIR keeps it.)",
        styled(f"Ctrl-C ends it.{feed}", "dim", sys.stdout),
    ]
    print("\n".join(lines), flush=True)


def _accounts(accounts: Sequence[DevAccount]) -> list[str]:
    first = accounts[0].address.partition("@")[0]
    return [
        *(f"  {account.address:<20} password {styled(account.password, 'green', sys.stdout)}" for account in accounts),
        f"  {'anyone else':<20} at {DOMAIN} goes to {first}",
    ]


def _examples(host: str, ports: Mapping[str, int], account: DevAccount) -> list[str]:
    login = shlex.quote(f"{account.address}:{account.password}")
    return [
        "Send:",
        f"  swaks --server {host}:{ports['smtp']} --to {account.address}",
        f"  printf 'Subject: hello\\r\\n\\r\\nHi.\\r\\n' | curl smtp://{host}:{ports['smtp']} \\",
        f"      --mail-from me@example.org --mail-rcpt {account.address} -T -",
        "Collect:",
        f"  curl pop3://{host}:{ports['pop3']}/1 -u {login}",
        "Read:",
        f"  curl 'imap://{host}:{ports['imap']}/INBOX;UID=1' -u {login}",
    ]


def as_document(
    host: str, ports: Mapping[str, int], accounts: Sequence[DevAccount], worker_config: WorkerConfig, *, strict: bool
) -> dict[str, object]:
    """The same for programs: one JSON document with steady keys."""
    return {
        "type": "ready",
        "version": 1,
        "strict": strict,
        "domain": DOMAIN,
        "host": host,
        "ports": dict(ports),
        "accounts": [{"address": account.address, "password": account.password} for account in accounts],
        "certificate": str(worker_config.certificate.certificate),
        "data": str(worker_config.paths.data),
        "pid": os.getpid(),
    }
