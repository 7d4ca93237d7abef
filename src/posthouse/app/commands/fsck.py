"""posthouse fsck: is all mail whole and readable? And what is to be done about mail that has lost its way."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter

from posthouse.accounts.names import text_of
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app import output
from posthouse.app.commands.opening import alone, open_data_folder, open_registry
from posthouse.app.commands.passwords import confirmed
from posthouse.app.commands.recovery import Plan, homes
from posthouse.app.commands.recovery import adopt as adopt_mail
from posthouse.app.commands.recovery import plan as plan_salvage
from posthouse.app.commands.recovery import salvage as salvage_mail
from posthouse.app.commands.where import NOWHERE, AsJson, Where, Yes
from posthouse.app.config.loading import Config
from posthouse.app.data_folder.checks import complaints
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.making import accept as accept_parts
from posthouse.app.data_folder.making import is_directory_lost, is_lost, note_salvaged, renew_mail
from posthouse.app.data_folder.parts import FolderError, refusal, require_current, require_packs, require_readable
from posthouse.app.dev.addresses import noted_accounts
from posthouse.app.errors import CommandError, Exit
from posthouse.database.connection import has_log
from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.loose import Unreadable
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.queue.interface import ACCOUNT


def fsck(
    *,
    repair: Annotated[bool, Parameter(help="Put wrong counters right; nothing is ever removed.")] = False,
    salvage: Annotated[
        bool, Parameter(help='File whole messages that the database does not know into "Recovered".')
    ] = False,
    to: Annotated[str | None, Parameter(help="With --salvage: who gets what does not say whose it is.")] = None,
    adopt: Annotated[
        str | None, Parameter(help="Give this account the mail of one that is not known any more.")
    ] = None,
    account: Annotated[int | None, Parameter(help="With --adopt: the number of the lost account.")] = None,
    accept: Annotated[bool, Parameter(help="Let the server start with the parts that are there.")] = False,
    yes: Yes = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> int:
    """Check that all mail is whole and readable: every octet and counter. Safe beside a running server.

    With --salvage, --adopt or --accept it does only that.
    """
    config = where.load()
    if (to is not None and not salvage) or (account is not None and adopt is None):
        fix = "--to goes with --salvage, --account with --adopt."
        raise CommandError("an option is given without the one that it belongs to", fix=fix, code=Exit.USAGE)
    if salvage + accept + (adopt is not None) + repair > 1:
        fix = "Give one of them, then the next."
        raise CommandError("--salvage, --accept, --adopt and --repair cannot be combined", fix=fix, code=Exit.USAGE)
    with _translated():
        if accept:
            return _accept(config, yes)
        if salvage:
            return _salvage(config, to, yes)
        if adopt is not None:
            return _adopt(config, adopt, account, yes)
        return _check(config, repair, as_json)


def _check(config: Config, repair: bool, as_json: bool) -> int:
    paths = open_data_folder(config, sound=False)
    require_readable(paths)
    # Twice: beside a server, a pack may have been made between the looks at the files and at the catalogue.
    findings = [_refused(each) for each in complaints(paths) and complaints(paths)]
    names, known = {}, None
    # Opened, it would take in the log beside it, which may be of another file.
    if not is_directory_lost(paths) and not (findings and has_log(paths.directory)):
        with open_registry(config, sound=False) as registry:
            names, known = _names(registry, paths), _known(registry, paths)
    else:
        output.note(f"{paths.directory} cannot be used: whether accounts are lost cannot be told.")
    if repair and findings:
        raise CommandError("nothing is repaired in a folder that no server starts on", fix=findings[0].advice)
    bodies = 0
    with output.progress("Reading every message") as advance:

        def progress(done: int, total: int) -> None:
            nonlocal bodies
            bodies = done
            advance(done, total)

        findings += list(check(paths.data, repair=repair, accounts=known, progress=progress))
    if as_json:
        rows = [_row(finding, names) for finding in findings]
        output.document({"version": 1, "bodies": bodies, "findings": rows})
    else:
        _report(findings, names, bodies)
    return Exit.FAILED if any(finding.severity is Severity.ERROR for finding in findings) else Exit.OK


def _refused(error: FolderError) -> Finding:
    return Finding(Severity.ERROR, "refused at start", "data folder", error.text, error.fix)


def _accept(config: Config, yes: bool) -> int:
    paths = open_data_folder(config, sound=False)
    with alone(paths):
        done = accept_parts(paths, lambda found: confirmed(f"{found}. Go on with what is there?", yes=yes))
    output.note(f"Accepted: {done.wrong}." if done.wrong else "All parts are there and belong together.")
    if done.salvage_due:
        output.note("posthouse.db may not know all messages. The server starts after: posthouse fsck --salvage")
    return Exit.OK


def _salvage(config: Config, to: str | None, yes: bool) -> int:
    paths = open_data_folder(config, sound=False)
    with alone(paths), open_registry(config, sound=False) as registry:
        targets = homes(registry, to)
        require_packs(paths)
        if is_lost(paths):
            confirmed(f"{paths.mail} is lost. Begin a new one for the mail in {paths.packs}?", yes=yes)
            renew_mail(paths, sorted(_known(registry, paths)))
        require_current(paths)
        planned, names = plan_salvage(paths, targets), _names(registry, paths)
        if planned.accounts:
            listed = ", ".join(f"{count} to {names[each]}" for each, count in sorted(planned.accounts.items()))
            confirmed(f"File {listed}?", yes=yes)
        unreadable: list[Unreadable] = []
        got = salvage_mail(paths, targets, unreadable.append)
        note_salvaged(paths)
    for number, messages in sorted(got.items()):
        print(f"{names[number]}\t{messages}")
    output.note(f'Filed {got.total()} messages into "Recovered".' if got else "There was nothing to file.")
    _report_left(planned)
    return _report_unreadable(unreadable)


def _report_unreadable(unreadable: list[Unreadable]) -> int:
    """What the disk did not give; how the command ends."""
    counts = Counter(each.pack for each in unreadable)
    for pack, first in {each.pack: each for each in reversed(unreadable)}.items():
        where = f"packs/{pack}.pack: {counts[pack]} places were passed over, the first at {first.offset}"
        output.note(f"{where}: {first.reason}")
    if unreadable:
        output.note("Messages there were not filed. If the disk can be put in order, do that and run this again first.")
    return Exit.FAILED if unreadable else Exit.OK


def _report_left(planned: Plan) -> None:
    """What was left where it is, and what is to be done about it."""
    if planned.unknown:
        listed = ", ".join(f"{address} ({count})" for address, count in sorted(planned.unknown.items()))
        output.note(f"Left where they are, for their accounts are not there: messages to {listed}.")
        output.note("Before the server starts, add these accounts with posthouse account add, and run it again.")
    if planned.unnamed:
        output.note(f"Left where they are: {planned.unnamed} messages that do not say whose they are.")
        output.note("To have them filed, name who gets them: posthouse fsck --salvage --to ADDRESS")


def _adopt(config: Config, address: str, account: int | None, yes: bool) -> int:
    paths = open_data_folder(config, sound=False)
    with open_registry(config, sound=False) as registry:
        target = registry.accounts.get(address)
        known = _known(registry, paths)
    lost = _lost_accounts(paths, known)
    if account is None and len(lost) == 1:
        (account,) = lost
    if not lost:
        output.note("There is no mail of accounts that are not known.")
        return Exit.OK
    if account is None or account not in lost:
        listed = ", ".join(f"{number} ({messages} messages)" for number, messages in sorted(lost.items()))
        raise CommandError(
            "which account is meant?" if account is None else f"{account} is not the number of a lost account",
            fix=f"Name one with --account NUMBER: {listed}",
            code=Exit.USAGE,
        )
    name = text_of(target.address)
    confirmed(f"Give the {lost[account]} messages of account {account} to {name}?", yes=yes)
    moved = adopt_mail(paths, account, target.id)
    output.note(f'Gave {moved} messages to {name}, below "Recovered".')
    return Exit.OK


def _names(registry: SqliteRegistry, paths: DataPaths) -> dict[int, str]:
    accounts = [*noted_accounts(paths.dev_addresses), *(info.account for info in registry.accounts.all())]
    return {account.id: text_of(account.address) for account in accounts}


def _known(registry: SqliteRegistry, paths: DataPaths) -> set[int]:
    """Who may hold mail: accounts, those whose mail is about to be removed, the queue, and those of `dev`."""
    return {ACCOUNT, *_names(registry, paths), *(gone.id for gone in registry.accounts.removed())}


def _lost_accounts(paths: DataPaths, known: set[int]) -> Mapping[int, int]:
    """Account -> messages, of those nobody knows."""
    with Archive(paths.data) as archive:
        return dict(archive.unknown_accounts(known))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise refusal(error) from None


def _row(finding: Finding, names: dict[int, str]) -> dict[str, object]:
    return {
        "severity": finding.severity.value,
        "kind": finding.kind,
        "where": finding.where,
        "what": finding.what,
        "advice": finding.advice,
        "account": names.get(finding.account or 0),
    }


def _report(findings: list[Finding], names: dict[int, str], bodies: int) -> None:
    for finding in findings:
        whose = f" of {names[finding.account]}" if finding.account in names else ""
        print(f"{finding.severity.value}: {finding.kind}{whose}: {finding.where}: {finding.what}")
        print(f"  {finding.advice}")
    counts = Counter(finding.severity for finding in findings)
    errors = counts[Severity.ERROR]
    others = len(findings) - errors
    verdict = "all is well" if not findings else f"{errors} errors, {others} remarks"
    output.note(f"Read {bodies} messages to the last octet: {verdict}.")
