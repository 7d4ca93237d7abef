"""posthouse fsck: is all mail whole and readable?"""

from collections import Counter
from typing import Annotated

from cyclopts import Parameter

from posthouse.accounts.names import text_of
from posthouse.app import output
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.errors import CommandError, Exit
from posthouse.app.opening import open_places, open_registry
from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import StoreError


def fsck(
    *,
    repair: Annotated[bool, Parameter(help="Put wrong counters right; nothing is ever removed.")] = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> int:
    """Check that all mail is whole and readable: every octet and counter. Safe beside a running server."""
    config = where.load()
    places = open_places(config)
    with open_registry(config) as registry:
        names = {info.account.id: text_of(info.account.address) for info in registry.accounts()}
    bodies = 0

    try:
        with output.progress("Reading every message") as advance:

            def progress(done: int, total: int) -> None:
                nonlocal bodies
                bodies = done
                advance(done, total)

            findings = list(check(places.data, repair=repair, progress=progress))
    except StoreError as error:
        raise CommandError(str(error), fix="Name the server's data folder with --data DIR.", code=Exit.FAILED) from None
    if as_json:
        rows = [_row(finding, names) for finding in findings]
        output.document({"version": 1, "bodies": bodies, "findings": rows})
    else:
        _tell(findings, names, bodies)
    return Exit.FAILED if any(finding.severity is Severity.ERROR for finding in findings) else Exit.OK


def _row(finding: Finding, names: dict[int, str]) -> dict[str, object]:
    return {
        "severity": finding.severity.value,
        "kind": finding.kind,
        "where": finding.where,
        "what": finding.what,
        "advice": finding.advice,
        "account": names.get(finding.account or 0),
    }


def _tell(findings: list[Finding], names: dict[int, str], bodies: int) -> None:
    for finding in findings:
        whose = f" of {names[finding.account]}" if finding.account in names else ""
        print(f"{finding.severity.value}: {finding.kind}{whose}: {finding.where}: {finding.what}")
        print(f"  {finding.advice}")
    counts = Counter(finding.severity for finding in findings)
    errors = counts[Severity.ERROR]
    others = len(findings) - errors
    verdict = "all is well" if not findings else f"{errors} errors, {others} remarks"
    output.note(f"Read {bodies} messages to the last octet: {verdict}.")
