"""posthouse identity add | list | remove."""

from typing import Annotated

from cyclopts import Parameter

from posthouse.app import output
from posthouse.app.commands.opening import open_registry
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.errors import CommandError


def add_(
    address: str,
    identity: Annotated[str, Parameter(help='An address, or "*@example.org" for all of a domain.')],
    /,
    *,
    where: Where = NOWHERE,
) -> None:
    """Let an account send as another address. Its own and its aliases need no grant."""
    with open_registry(where.load()) as registry:
        added = registry.identities.add(address, identity)
    output.note(f"{address} may send as {identity}{'' if added else ' already'}.")


def remove_(address: str, identity: str, /, *, where: Where = NOWHERE) -> None:
    """Take such a grant back."""
    with open_registry(where.load()) as registry:
        if not registry.identities.remove(address, identity):
            fix = f"See what there is: posthouse identity list {address}"
            raise CommandError(f"{identity} was not granted to {address}", fix=fix)
    output.note(f"{address} may no longer send as {identity}.")


def list_(address: str, /, *, where: Where = NOWHERE, as_json: AsJson = False) -> None:
    """List the addresses an account may send as beside its own."""
    with open_registry(where.load()) as registry:
        granted = registry.identities.all(address)
    if as_json:
        output.document({"version": 1, "address": address, "identities": granted})
    else:
        output.listing(["may send as"], [[each] for each in granted], f"Nothing was granted to {address}.")
