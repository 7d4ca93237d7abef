"""posthouse account add | list | remove | password | quota | limits | import."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from posthouse.accounts.errors import BadQuotaError
from posthouse.accounts.interface import UNBOUNDED, Account
from posthouse.accounts.names import text_of
from posthouse.accounts.quotas import parse_quota
from posthouse.accounts.rows import AccountInfo
from posthouse.app import output
from posthouse.app.commands.opening import open_registry
from posthouse.app.commands.passwords import asked, confirmed, generated
from posthouse.app.commands.removal import forget_removed, usages_of
from posthouse.app.commands.where import NOWHERE, AsJson, Where, Yes
from posthouse.app.config.kinds import SIZE
from posthouse.app.config.settings import SubmissionSection
from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.interruption import noted_interruption
from posthouse.mailstore.interface import Usage
from posthouse.message.sizes import exact_size, format_size

PasswordStdin = Annotated[
    bool, Parameter(name="--password-stdin", help="Take the password from the first line of standard input.")
]
Generate = Annotated[bool, Parameter(help="Make a password and print it.")]


def add_(
    address: str,
    /,
    *,
    quota: Annotated[str | None, Parameter(help='How much it may hold, like "2GB"; without: no bound.')] = None,
    generate: Generate = False,
    password_stdin: PasswordStdin = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Add an account."""
    config = where.load()
    octets = _octets(quota)
    password = _password(generate=generate, stdin=password_stdin)
    with open_registry(config) as registry:
        account = registry.accounts.add(address, password, quota=octets)
    made = {"password": password} if generate else {}
    if as_json:
        output.document({"version": 1, "address": text_of(account.address), "quota": account.quota, **made})
        return
    output.note(f"Added {text_of(account.address)}.")
    if generate:
        print(password)
    output.hint("posthouse serve; then it can log in with its address and password.")


def list_(
    domain: Annotated[str | None, Parameter(help="Only those of this domain.")] = None,
    /,
    *,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """List the accounts and what they hold."""
    config = where.load()
    with open_registry(config) as registry:
        accounts = registry.accounts.all(domain)
    usages = usages_of(config, [info.account.id for info in accounts])
    if as_json:
        rows = [
            {
                "address": text_of(info.account.address),
                "messages": usage.messages,
                "octets": usage.octets,
                "quota": info.account.quota,
                "created": info.created,
                "password": info.scheme or None,
                "scram": info.scram,
            }
            for info, usage in zip(accounts, usages, strict=True)
        ]
        output.document({"version": 1, "accounts": rows})
        return
    output.listing(
        ["address", "messages", "size", "quota", ""],
        [_row(info, usage) for info, usage in zip(accounts, usages, strict=True)],
        "No accounts yet. Add one: posthouse account add alice@example.org",
    )


def _row(info: AccountInfo, usage: Usage) -> list[object]:
    quota = info.account.quota
    return [
        text_of(info.account.address),
        usage.messages,
        format_size(usage.octets),
        "no bound" if quota is None else exact_size(quota),
        "" if info.scheme else "no password",
    ]


def remove_(address: str, /, *, yes: Yes = False, where: Where = NOWHERE, as_json: AsJson = False) -> None:
    """Remove an account and its mail, for good."""
    config = where.load()
    with open_registry(config) as registry:
        account = registry.accounts.get(address)
        (usage,) = usages_of(config, [account.id])
        name = text_of(account.address)
        confirmed(f"Remove {name} and its {usage.messages} messages, for good?", yes=yes)
        removed = registry.accounts.remove(address)
        forget_removed(config, registry)
    if as_json:
        aliases = [text_of(alias.address) for alias in removed.aliases]
        output.document({"version": 1, "address": name, "messages": usage.messages, "aliases": aliases})
        return
    output.note(f"Removed {name} and its {usage.messages} messages.")
    for alias in removed.aliases:
        output.note(f"The alias {text_of(alias.address)} no longer points there.")


def password_(
    address: str,
    /,
    *,
    generate: Generate = False,
    password_stdin: PasswordStdin = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Give an account a new password; the old one is refused at once."""
    config = where.load()
    with open_registry(config) as registry:
        name = text_of(registry.accounts.get(address).address)
        password = _password(generate=generate, stdin=password_stdin)
        registry.accounts.set_password(address, password)
    made = {"password": password} if generate else {}
    if as_json:
        output.document({"version": 1, "address": name, **made})
        return
    output.note(f"{name} has a new password.")
    if generate:
        print(password)


def quota_(
    address: str,
    size: Annotated[str, Parameter(help='Like "2GB"; "none" or 0: no bound.')],
    /,
    *,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Set or lift the bound on what an account may hold. What it holds already stays."""
    octets = _octets(size)
    with open_registry(where.load()) as registry:
        registry.accounts.set_quota(address, octets)
        name = text_of(registry.accounts.get(address).address)
    if as_json:
        output.document({"version": 1, "address": name, "quota": octets})
    else:
        output.note(f"{name} may hold {'any amount' if octets is None else exact_size(octets)}.")


def limits_(
    address: str,
    /,
    *,
    messages: Annotated[
        str | None, Parameter(help='Messages in 24 hours; "none": no bound; "default": as [submission] says.')
    ] = None,
    recipients: Annotated[
        str | None, Parameter(help="Recipients in 24 hours that it never wrote to before; the same words.")
    ] = None,
    sent_copy: Annotated[
        bool | None, Parameter(negative="--no-sent-copy", help="Keep a copy of what it sends in its mailbox Sent.")
    ] = None,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Show or set how much an account may send, and whether it keeps copies of it."""
    config = where.load()
    with open_registry(config) as registry:
        now = registry.accounts.get(address)
        if messages is not None or recipients is not None or sent_copy is not None:
            registry.accounts.set_limits(
                address,
                messages=_bound("messages", messages, now.day_messages),
                recipients=_bound("recipients", recipients, now.day_recipients),
                sent_copy=now.sent_copy if sent_copy is None else sent_copy,
            )
            now = registry.accounts.get(address)
    limits = {
        "messages": _as_json(now.day_messages),
        "recipients": _as_json(now.day_recipients),
        "sent_copy": now.sent_copy,
    }
    if as_json:
        output.document({"version": 1, "address": text_of(now.address), **limits})
        return
    _show_limits(now, config.settings.submission)


def _show_limits(now: Account, defaults: SubmissionSection) -> None:
    sent = _allowed("messages", now.day_messages, defaults.messages)
    output.note(f"{text_of(now.address)} in 24 hours: {sent},")
    known = _allowed("recipients it never wrote to before", now.day_recipients, defaults.new_recipients)
    output.note(f"{known}.")
    copies = {None: "as the server's default says", True: "kept in Sent", False: "not kept"}[now.sent_copy]
    output.note(f"Copies of what it sends: {copies}.")


def _bound(what: str, text: str | None, now: int | None) -> int | None:
    """A number as typed; "default" is None, nothing typed is what it was."""
    if text is None:
        return now
    if text.lower() == "none":
        return UNBOUNDED
    if text.lower() == "default":
        return None
    if not text.isdecimal() or len(text) > 9:
        raise CommandError(f'--{what}: expected a number, "none" or "default", got "{text}"', code=Exit.USAGE)
    return int(text)


def _as_json(bound: int | None) -> int | str | None:
    """null: as the configuration says."""
    return "none" if bound == UNBOUNDED else bound


def _allowed(what: str, bound: int | None, default: int) -> str:
    if bound == UNBOUNDED or (bound is None and not default):
        return f"any number of {what}"
    return f"at most {default} {what} (as [submission] says)" if bound is None else f"at most {bound} {what}"


def _password(*, generate: bool, stdin: bool) -> str:
    if generate and stdin:
        raise CommandError("--generate and --password-stdin exclude each other", code=Exit.USAGE)
    return generated() if generate else asked(stdin=stdin)


def _octets(text: str | None) -> int | None:
    try:
        return parse_quota(text or "")
    except BadQuotaError as error:
        raise CommandError(str(error), fix=SIZE.help, code=Exit.USAGE) from None


def import_(
    file: Path,
    /,
    *,
    dry_run: Annotated[bool, Parameter(help="Only tell what is wrong with the file.")] = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> int:
    """Add many accounts from a CSV file: address, password (plain, or a hash from elsewhere), quota.

    Accounts that are there already stay as they are: what was interrupted goes on when it is run again.
    """
    from posthouse.accounts.importing import import_accounts, name_lines

    config = where.load()
    with (
        file.open(encoding="utf-8", newline="") as rows,  # first: only root may read it, perhaps
        open_registry(config) as registry,
        output.progress("Hashing passwords") as advance,
        nullcontext(lambda: False) if dry_run else noted_interruption() as stopped,
    ):
        report = import_accounts(registry, rows, advance, dry_run=dry_run, stopped=stopped)
    for error in report.errors:
        output.note(f"{file}:{error.line}: {error.message}")
    if report.present:
        lines = f"line{'s' if len(report.present) > 1 else ''} {name_lines(report.present)}"
        output.note(f"{len(report.present)} accounts are there already, and stay as they are: {lines}.")
    if as_json:
        errors = [{"line": error.line, "message": error.message, "rows": error.rows} for error in report.errors]
        counts = {"imported": report.imported, "present": len(report.present), "left": report.left}
        output.document({"version": 1, **counts, "errors": errors})
    else:
        did = "Could add" if dry_run else "Added"
        output.note(f"{did} {report.imported} accounts, {report.rows_wrong} rows wrong.")
    if report.left:
        output.note(f"Interrupted: {report.left} rows are left. Import the same file again to go on.")
        return Exit.INTERRUPTED
    return Exit.FAILED if report.errors else Exit.OK
