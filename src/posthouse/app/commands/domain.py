"""posthouse domain add | list | remove."""

from typing import Annotated

from cyclopts import Parameter

from posthouse.app import output
from posthouse.app.commands.where import NOWHERE, AsJson, Where, Yes
from posthouse.app.opening import open_registry
from posthouse.app.passwords import confirmed
from posthouse.app.removal import forget_removed


def add_(
    name: str,
    /,
    *,
    default: Annotated[bool, Parameter(help="Login names without a domain mean this one.")] = False,
    postmaster: Annotated[str | None, Parameter(help="The account that gets mail for postmaster and abuse.")] = None,
    alias_of: Annotated[str | None, Parameter(help="Every address means the same one in that other domain.")] = None,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Take in mail for a domain."""
    with open_registry(where.load()) as registry:
        domain = registry.add_domain(name, default=default, postmaster=postmaster, alias_of=alias_of)
    if as_json:
        output.document({"version": 1, "domain": domain.name, "default": domain.is_default})
    else:
        output.note(f"Mail for {domain.name} is taken in.")
        output.hint(f"posthouse account add NAME@{domain.name}")


def list_(*, where: Where = NOWHERE, as_json: AsJson = False) -> None:
    """List the domains."""
    with open_registry(where.load()) as registry:
        domains = registry.domains()
        accounts = {info.account.id: info.account.address for info in registry.accounts()}
        counts = [len(registry.accounts(domain.name)) for domain in domains]
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


def remove_(
    name: str,
    /,
    *,
    force: Annotated[bool, Parameter(help="Remove its accounts and their mail as well.")] = False,
    yes: Yes = False,
    where: Where = NOWHERE,
) -> None:
    """Take in no more mail for a domain."""
    config = where.load()
    with open_registry(config) as registry:
        accounts = len(registry.accounts(name))
        if force and accounts:
            confirmed(f"Remove {name} with {accounts} accounts and all their mail, for good?", yes=yes)
        removed = registry.remove_domain(name, force=force)
        forget_removed(config, registry)
    output.note(f"Removed {name}." if not removed else f"Removed {name} and {len(removed)} accounts with their mail.")
