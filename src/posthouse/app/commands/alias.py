"""posthouse alias add | list | remove."""

from typing import Annotated

from cyclopts import Parameter

from posthouse.accounts.names import text_of
from posthouse.app import output
from posthouse.app.commands.opening import open_registry
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.errors import CommandError, Exit


def add_(address: str, /, *targets: str, where: Where = NOWHERE) -> None:
    """Let an address lead to one or more others."""
    if not targets:
        raise CommandError("where should it lead?", fix=f"posthouse alias add {address} TARGET ...", code=Exit.USAGE)
    with open_registry(where.load()) as registry, registry.together():
        for target in targets:
            registry.aliases.add(address, target)
    output.note(f"{address} leads to {', '.join(targets)}.")


def list_(
    domain: Annotated[str | None, Parameter(help="Only those of this domain.")] = None,
    /,
    *,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """List the aliases."""
    with open_registry(where.load()) as registry:
        aliases = registry.aliases.all(domain)
    if as_json:
        rows = [{"address": text_of(alias.address), "target": text_of(alias.target)} for alias in aliases]
        output.document({"version": 1, "aliases": rows})
        return
    lines = [[text_of(alias.address), text_of(alias.target)] for alias in aliases]
    output.listing(["address", "leads to"], lines, "No aliases yet. Add one: posthouse alias add ADDRESS TARGET")


def remove_(address: str, /, *targets: str, where: Where = NOWHERE) -> None:
    """Remove an alias, or only some of its targets."""
    with open_registry(where.load()) as registry, registry.together():
        gone = [alias for target in targets or (None,) for alias in registry.aliases.remove(address, target)]
    output.note(f"{address} leads no more to {', '.join(text_of(alias.target) for alias in gone)}.")
