"""posthouse domain add | list | dns | remove."""

import dataclasses
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from posthouse.app import output
from posthouse.app.commands.opening import begin_store, open_registry
from posthouse.app.commands.passwords import confirmed
from posthouse.app.commands.removal import forget_removed
from posthouse.app.commands.where import NOWHERE, AsJson, Where, Yes
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.hostname import own_name, public_name
from posthouse.app.config.loading import Config
from posthouse.app.errors import CommandError, Exit

if TYPE_CHECKING:
    from posthouse.app.commands.dns_records import DnsRecord


_WIDTH = 80  # columns


def add_(
    name: str,
    /,
    *,
    default: Annotated[bool, Parameter(help="Login names without a domain mean this one.")] = False,
    postmaster: Annotated[str | None, Parameter(help="The account that gets mail for postmaster and abuse.")] = None,
    alias_of: Annotated[str | None, Parameter(help="Every address means the same one in that other domain.")] = None,
    yes: Yes = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Accept mail for a domain. The first one makes the mail store, after asking."""
    with begin_store(where.load(), yes=yes) as registry:
        domain = registry.domains.add(name, default=default, postmaster=postmaster, alias_of=alias_of)
    if as_json:
        output.document({"version": 1, "domain": domain.name, "default": domain.is_default})
    else:
        output.note(f"Now accepting mail for {domain.name}.")
        output.hint(f"posthouse domain dns {domain.name}; posthouse account add NAME@{domain.name}")


def list_(*, where: Where = NOWHERE, as_json: AsJson = False) -> None:
    """List the domains."""
    with open_registry(where.load()) as registry:
        domains = registry.domains.all()
        accounts = {info.account.id: info.account.address for info in registry.accounts.all()}
        counts = [len(registry.accounts.all(domain.name)) for domain in domains]
    postmasters = [accounts.get(domain.postmaster) if domain.postmaster else None for domain in domains]
    rows = [
        {
            "domain": domain.name,
            "accounts": count,
            "default": domain.is_default,
            "alias_of": domain.alias_of,
            "postmaster": f"{postmaster.local}@{postmaster.domain}" if postmaster else None,
        }
        for domain, count, postmaster in zip(domains, counts, postmasters, strict=True)
    ]
    if as_json:
        output.document({"version": 1, "domains": rows})
        return
    lines = [[row["domain"], row["accounts"], "default" if row["default"] else "", row["alias_of"]] for row in rows]
    output.listing(
        ["domain", "accounts", "", "same as"], lines, "No domains yet. Add one: posthouse domain add example.org"
    )


def dns_(
    name: str,
    /,
    *,
    zone: Annotated[bool, Parameter(help="Write them as lines for a zone file.")] = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Show the DNS records that a domain needs. Keys to sign with are made where they are missing."""
    # They read keys, and what does that is slow to import.
    from posthouse.app.commands.dns_certificate import certificate_records, load_certificate
    from posthouse.app.commands.dns_records import records
    from posthouse.app.commands.dns_routes import host_terms, spf_terms

    config = where.load()
    settings = config.settings
    hostname = _hostname(config)
    certificate = load_certificate(settings.tls.certificate) if settings.tls.certificate else None  # as root, perhaps
    with open_registry(config) as registry:
        keys = registry.domains.ensure_signing_keys(name)
    domain = keys[0].domain
    terms = spf_terms(domain, settings.route, settings.outgoing) if settings.outgoing.enabled else []
    hello = public_name(settings.outgoing.hello) or hostname
    within = f".{hello}".endswith(f".{domain}")  # else it is another zone's matter
    further = host_terms(settings.route, settings.outgoing)
    sends = settings.outgoing.enabled
    found = list(
        records(
            domain, hostname, keys, _ports(config), terms, hello=hello if sends and within else "", host_spf=further
        )
    )
    if certificate is not None and f".{hostname}".endswith(f".{domain}"):  # else it is another zone's matter
        found += certificate_records(hostname, certificate, smtp=bool(settings.smtp.listen))
    if as_json:
        rows = [dataclasses.asdict(record) for record in found]
        output.document({"version": 1, "domain": domain, "hostname": hostname, "records": rows})
        return
    _show(found, zone=zone)
    spf = " ".join(["v=spf1 a", *(term.text for term in further), "-all"])
    _note_own_records(hostname, _own_spf(hello, spf) if sends and not within else "")


def _own_spf(hello: str, spf: str) -> str:
    return f'{hello} needs a TXT record too, for the reports of the server itself: "{spf}".'


def _note_own_records(hostname: str, more: str) -> None:
    """What the zone of the server's own name needs."""
    text = f"{hostname} itself needs A or AAAA records, and each of its addresses a PTR that names {hostname}."
    output.note(textwrap.fill(f"{text} {more}".rstrip(), _WIDTH))


def _hostname(config: Config) -> str:
    """The server's name, in A-labels. Raises CommandError when nobody elsewhere could look it up."""
    named = own_name(config.settings)
    hostname = public_name(named)
    if not hostname:
        raise CommandError(
            f"this server calls itself {named}, which is no name that others can look up",
            fix="Set server.hostname in the configuration to its full name, like mail.example.org.",
            code=Exit.CONFIG,
        )
    return hostname


def _ports(config: Config) -> dict[str, int | None]:
    """Service -> its port, None where it is not offered."""
    settings = config.settings
    return {
        "submissions": _port(settings.submission.listen_tls),
        "submission": _port(settings.submission.listen),
        "pop3s": _port(settings.pop3.listen_tls),
        "pop3": _port(settings.pop3.listen),
        "imaps": _port(settings.imap.listen_tls),
        "imap": _port(settings.imap.listen),
    }


def _port(endpoints: Sequence[Endpoint]) -> int | None:
    return next((endpoint.port for endpoint in endpoints if endpoint.port), None)


def _show(found: "Sequence[DnsRecord]", *, zone: bool) -> None:
    """To a person: what to enter, on a line of its own for copying, and what it is for. To a pipe: a row a record."""
    if zone:
        print("\n".join(record.zone_line() for record in found))
        return
    if not sys.stdout.isatty():
        rows = [[record.type, record.name, record.value, _weight(record), record.purpose] for record in found]
        output.listing([], rows, "")
        return
    for record in found:
        kind = output.styled(record.type.ljust(5), "cyan", sys.stdout)
        print(f"{kind} {output.styled(record.name, 'bold', sys.stdout)}  ({_weight(record)})")
        print(f"      {record.value}")
        for line in textwrap.wrap(record.purpose, _WIDTH - 6):
            print(output.styled(f"      {line}", "dim", sys.stdout))
        print()


def _weight(record: "DnsRecord") -> str:
    return "needed" if record.needed else "optional"


def remove_(
    name: str,
    /,
    *,
    force: Annotated[bool, Parameter(help="Remove its accounts and their mail as well.")] = False,
    yes: Yes = False,
    where: Where = NOWHERE,
) -> None:
    """Stop accepting mail for a domain."""
    config = where.load()
    with open_registry(config) as registry:
        accounts = len(registry.accounts.all(name))
        if force and accounts:
            confirmed(f"Remove {name} with {accounts} accounts and all their mail, for good?", yes=yes)
        removed = registry.domains.remove(name, force=force)
        forget_removed(config, registry)
    output.note(f"Removed {name}." if not removed else f"Removed {name} and {len(removed)} accounts with their mail.")
