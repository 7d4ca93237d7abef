"""The command line: which commands there are, and how each of them ends.

Commands are named by import path, so that `posthouse --help` and a mistyped command load none of them.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from posthouse import __version__
from posthouse.app import output
from posthouse.app.config.problems import ConfigError
from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.interruption import InterruptedByError

if TYPE_CHECKING:
    from posthouse.accounts.errors import AccountsError

_COMMANDS = "posthouse.app.commands"

_ABOUT = """Posthouse, a mail server: SMTP, POP3, IMAP and one durable store.

Try it on this machine:     posthouse dev
Run a server:               posthouse domain add example.org
                            posthouse account add alice@example.org
                            posthouse serve
Learn about one command:    posthouse account add --help
"""


_NOUNS = {
    "domain": "The domains whose mail ends here.",
    "account": "The people (and programs) who have a mailbox.",
    "identity": "Addresses that accounts may send as beside their own.",
    "alias": "Addresses that lead to other addresses.",
    "queue": "Mail on its way to other servers.",
    "mail": "Messages: send one, find one.",
    "config": "The configuration file.",
}

# Command, what it does, and an example for its help page.
_VERBS = (
    (
        "dev",
        "Take any mail on this machine, show it and send none: for trying things out.",
        "posthouse dev --data ./mail",
    ),
    ("serve", "Run the server.", "posthouse serve -c /etc/posthouse/posthouse.toml"),
    ("domain add", "Accept mail for a domain.", "posthouse domain add example.org"),
    ("domain list", "List the domains.", "posthouse domain list --json"),
    ("domain dns", "Show the DNS records that a domain needs.", "posthouse domain dns example.org --zone"),
    ("domain remove", "Stop accepting mail for a domain.", "posthouse domain remove example.org"),
    ("account add", "Add an account.", "posthouse account add alice@example.org --quota 2GB"),
    ("account list", "List the accounts and what they hold.", "posthouse account list example.org"),
    ("account remove", "Remove an account and its mail.", "posthouse account remove alice@example.org --yes"),
    (
        "account password",
        "Give an account a new password.",
        "pass show mail | posthouse account password alice@example.org --password-stdin",
    ),
    ("account quota", "Set or lift the bound on what an account holds.", "posthouse account quota a@example.org 5GB"),
    (
        "account import",
        "Add many accounts from a CSV file of address, password and quota.",
        "posthouse account import people.csv",
    ),
    (
        "account limits",
        "Show or set how much an account may send.",
        "posthouse account limits alice@example.org --messages 500",
    ),
    (
        "identity add",
        "Let an account send as another address.",
        "posthouse identity add alice@example.org sales@example.org",
    ),
    (
        "identity list",
        "List what an account may send as beside its own.",
        "posthouse identity list alice@example.org",
    ),
    (
        "identity remove",
        "Take such a grant back.",
        "posthouse identity remove alice@example.org sales@example.org",
    ),
    (
        "alias add",
        "Let an address lead to one or more others; *@domain is its catch-all.",
        "posthouse alias add sales@example.org alice@example.org bob@example.org",
    ),
    ("alias list", "List the aliases.", "posthouse alias list"),
    ("alias remove", "Remove an alias, or some of its targets.", "posthouse alias remove sales@example.org"),
    ("queue list", "List what waits to be sent.", "posthouse queue list --to example.org"),
    ("queue show", "Show every try of one message.", "posthouse queue show 01m86vpsh4"),
    ("queue retry", "Retry waiting messages now.", "posthouse queue retry --destination example.org"),
    ("queue hold", "Keep messages from being tried.", "posthouse queue hold --sender mallory@example.org"),
    ("queue release", "Release held messages.", "posthouse queue release --held"),
    ("queue drop", "Remove messages from the queue without a bounce.", "posthouse queue drop 01m86vpsh4"),
    (
        "mail send",
        "Send a message whose text is on standard input, to try a server out.",
        "echo hello | posthouse mail send --from a@b.org --user a@b.org --starttls --to c@d.org",
    ),
    ("mail trace", "Tell where a message is, or went.", "posthouse mail trace alice@example.org"),
    (
        "config check",
        "Find mistakes in the configuration, and what cannot work.",
        "posthouse config check -c posthouse.toml",
    ),
    ("config show", "Show every setting and where it comes from.", "posthouse config show > posthouse.toml"),
    ("fsck", "Check that all mail is whole and readable.", "posthouse fsck --data ./mail"),
    ("version", "Show the versions of Posthouse and its parts.", "posthouse version --json"),
)


def build_app() -> App:
    """Every command with its one-line help and an example. None of their modules is imported yet."""
    app = App(
        name="posthouse",
        help=_ABOUT,
        version=__version__,
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
    )
    groups = {noun: App(name=noun, help=about) for noun, about in _NOUNS.items()}
    for group in groups.values():
        app.command(group)
    for command, line, example in _VERBS:
        noun, _, verb = command.rpartition(" ")
        # A verb may be a word of Python's own (import, list): their functions end in "_".
        path = f"{_COMMANDS}.{noun}:{verb}_" if noun else f"{_COMMANDS}.{verb}:{verb}"
        groups.get(noun, app).command(path, name=verb, help=line, help_epilogue=f"Example: {example}")
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; every failure is one sentence on standard error."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _open_standard_streams()
    try:
        result = build_app()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        # `posthouse account list | head`: the reader has had enough. Python would complain again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.OK
    except (KeyboardInterrupt, InterruptedByError) as interruption:
        number = getattr(interruption, "number", signal.SIGINT)
        if number == signal.SIGTERM:  # an end that was asked for, as that of a running server
            return Exit.OK
        with contextlib.suppress(OSError):  # the terminal is gone, perhaps
            output.error("interrupted")
        return 128 + number
    except Exception as failure:  # the one place where everything ends up
        return _report(failure)
    return result if isinstance(result, int) else Exit.OK


def _open_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed: else the next file or socket would take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _report(failure: Exception) -> int:
    if isinstance(failure, ConfigError):
        print(str(failure), file=sys.stderr)
        return Exit.CONFIG
    if isinstance(failure, CommandError):
        output.error(failure.text, failure.fix)
        return failure.code
    if isinstance(failure, CycloptsError):
        return _report_usage(failure)
    if isinstance(failure, PermissionError):
        what = f"{failure.filename}: " if failure.filename else ""
        output.error(f"{what}permission denied", "Run it as root, or as the user that the server runs as.")
        return Exit.NO_PERMISSION
    if isinstance(failure, OSError):
        output.error(f"{failure.filename}: {failure.strerror}" if failure.filename else str(failure))
        return Exit.FAILED
    return _report_other(failure)


def _report_usage(failure: CycloptsError) -> int:
    failure.verbose = False
    text = str(failure).strip()
    if isinstance(failure, UnusedCliTokensError) and failure.unused_tokens:
        text = f'unexpected argument "{failure.unused_tokens[0]}"'
    words = " ".join(["posthouse", *(failure.command_chain or ())])
    output.error(text[:1].lower() + text[1:], f"See: {words} --help")
    return Exit.USAGE


def _report_other(failure: Exception) -> int:
    accounts_errors = sys.modules.get("posthouse.accounts.errors")
    if accounts_errors is not None:
        base: type[AccountsError] = accounts_errors.AccountsError
        if isinstance(failure, base):
            if isinstance(failure, accounts_errors.DirectoryUnusableError):
                return _report_refusal(failure)
            busy = isinstance(failure, accounts_errors.DirectoryBusyError)
            output.error(str(failure), _disk_fix(failure) if busy else "")
            return Exit.TRY_LATER if busy else Exit.FAILED
    store_errors = sys.modules.get("posthouse.mailstore.interface")
    if store_errors is not None and isinstance(failure, store_errors.StoreError):
        return _report_refusal(failure)
    if "apsw" in sys.modules:
        from posthouse.app.data_folder.disk_errors import disk_refusal

        if (refused := disk_refusal(failure)) is not None:
            return _report(refused)
    if os.environ.get("POSTHOUSE_TRACEBACK"):
        raise failure
    output.error(
        f"something unexpected happened: {type(failure).__name__}: {failure}",
        "This is a bug in Posthouse. POSTHOUSE_TRACEBACK=1 shows where it happened; please report it with that.",
    )
    return Exit.FAILED


def _disk_fix(failure: Exception) -> str:
    from posthouse.app.data_folder.disk_errors import disk_fix

    return disk_fix(failure)


def _report_refusal(failure: Exception) -> int:
    from posthouse.app.data_folder.parts import refusal  # one place says what is wrong with a folder

    refused = refusal(failure)
    output.error(refused.text, refused.fix)
    return refused.code


if __name__ == "__main__":
    sys.exit(main())
