"""posthouse queue list | show | retry | hold | release | drop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from cyclopts import Parameter

from posthouse.app import output
from posthouse.app.commands.where import NOWHERE, AsJson, Where, Yes
from posthouse.app.errors import CommandError, Exit
from posthouse.app.opening import open_places
from posthouse.app.passwords import confirmed
from posthouse.app.tracing import ago, as_json_row, life, size, state_of
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.message.header import header_end
from posthouse.message.ids import shown
from posthouse.queue.interface import ACCOUNT, MAILBOX, Filter, Traced
from posthouse.queue.sqlite.desk import Desk, DeskError


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """The options that choose recipients."""

    sender: Annotated[str, Parameter(help="Only from this address or domain.")] = ""
    to: Annotated[str, Parameter(help="Only to this address or domain.")] = ""
    destination: Annotated[str, Parameter(help="Only by this way: a domain, or route/NAME.")] = ""
    held: Annotated[bool, Parameter(help="Only those that are held.")] = False

    def filter(self, ids: tuple[str, ...], *, settled: bool = False) -> Filter:
        """As the queue wants it."""
        return Filter(ids, self.sender, self.to, self.destination, "", True if self.held else None, settled)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was chosen."""
        return not (self.sender or self.to or self.destination or self.held)


T = TypeVar("T")

ALL_OF_IT = Which()
_All = Annotated[bool, Parameter(name="--all", help="All of the queue.")]


def list_(
    *,
    which: Which = ALL_OF_IT,
    settled: Annotated[bool, Parameter(help="Also what was settled in the last 7 days.")] = False,
    limit: Annotated[int, Parameter(help="At most so many rows.")] = 1000,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """List what waits to be sent: to whom, how often it was tried, and what was said last."""
    found = _desk(where, lambda desk: desk.recipients(which.filter((), settled=settled), limit=limit))
    if as_json:
        output.document({"version": 1, "recipients": [as_json_row(each) for each in found]})
        return
    now = time.time()
    rows = [
        [
            shown(each.message.id),
            ago(now - each.message.created),
            size(each.message.octets),
            str(each.message.sender.address or "<>"),
            str(each.recipient.address),
            each.attempts,
            state_of(each, now),
            _last(each),
        ]
        for each in found
    ]
    columns = ["id", "age", "size", "sender", "recipient", "tries", "state", "last reply"]
    output.listing(columns, rows, "Nothing waits to be sent.")
    if found:
        output.note(f"{len(found)} recipients of {len({each.message.number for each in found})} messages.")
        output.hint("posthouse queue show ID tells all that is known of one.")


def show_(
    ident: Annotated[str, Parameter(name="ID")],
    /,
    *,
    head: Annotated[bool, Parameter(help="Show the header of the message too.")] = False,
    body: Annotated[bool, Parameter(help="Write the whole message to standard output, and nothing else.")] = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one message: every recipient, every try."""
    found = _desk(where, lambda desk: desk.recipients(Filter((ident,), settled=True)))
    if not found:
        raise CommandError(f"no message {ident} is in the queue", fix="See: posthouse queue list --settled")
    if body:
        output.octets(_message(where, found[0]))
        return
    if as_json:
        output.document({"version": 1, "recipients": [as_json_row(each) for each in found]})
        return
    for line in life(found):
        print(line)
    if head:
        text = _message(where, found[0])
        print()
        print(text[: header_end(text)].decode("utf-8", "replace").replace("\r\n", "\n").rstrip())


def retry_(
    *ids: str, which: Which = ALL_OF_IT, every: _All = False, where: Where = NOWHERE, as_json: AsJson = False
) -> None:
    """Have those that wait tried now."""
    count = _change(ids, which, every, where, Desk.retry)
    _tell(count, "tried now", as_json)


def hold_(
    *ids: str, which: Which = ALL_OF_IT, every: _All = False, where: Where = NOWHERE, as_json: AsJson = False
) -> None:
    """Keep those that wait from being tried, until they are released."""
    count = _change(ids, which, every, where, Desk.hold)
    _tell(count, "held", as_json)


def release_(
    *ids: str, which: Which = ALL_OF_IT, every: _All = False, where: Where = NOWHERE, as_json: AsJson = False
) -> None:
    """Let those that are held go on."""
    count = _change(ids, which, every, where, Desk.release)
    _tell(count, "released", as_json)


def drop_(
    *ids: str,
    which: Which = ALL_OF_IT,
    every: _All = False,
    yes: Yes = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Give up those that wait, telling nobody: their senders get no bounce."""
    wanted = _chosen(ids, which, every)
    count = len(_desk(where, lambda desk: desk.recipients(wanted, limit=1_000_000)))
    if count:
        confirmed(f"Drop {count} recipients, telling nobody?", yes=yes)
        count = _desk(where, lambda desk: desk.drop(wanted))
    _tell(count, "dropped", as_json)


def _change(
    ids: tuple[str, ...], which: Which, every: bool, where: Where, change: Callable[[Desk, Filter], int]
) -> int:
    wanted = _chosen(ids, which, every)
    return _desk(where, lambda desk: change(desk, wanted))


def _chosen(ids: tuple[str, ...], which: Which, every: bool) -> Filter:
    if not ids and which.is_empty and not every:
        fix = "Name ids from posthouse queue list, or --sender, --to, --destination, or --all."
        raise CommandError("which of them?", fix=fix, code=Exit.USAGE)
    return which.filter(ids)


def _tell(count: int, what: str, as_json: bool) -> None:
    if as_json:
        output.document({"version": 1, "recipients": count})
    else:
        output.note(f"{count} recipients {what}." if count else "None of them waits in the queue.")


def _desk(where: Where, work: Callable[[Desk], T]) -> T:
    """Open the queue, and do something with it."""
    places = open_places(where.load(), make=False)
    if not places.mail.exists():
        raise CommandError(f"there is no queue in {places.data} yet", fix="Start the server once: posthouse serve")
    try:
        with Desk(places.mail) as desk:
            return work(desk)
    except DeskError as error:
        raise CommandError(str(error), code=Exit.TRY_LATER if "busy" in str(error) else Exit.FAILED) from None


def _last(each: Traced) -> str:
    if not each.tries:
        return ""
    said = each.tries[-1]
    return f"{said.code} {said.reply}"[:60]


def _message(where: Where, each: Traced) -> bytes:
    """The message itself, as it is sent."""
    places = open_places(where.load(), make=False)
    try:
        with Archive(places.data) as archive:
            found = archive.find(ACCOUNT, MAILBOX, [each.message.body])
            if not found:
                raise CommandError("the message itself is gone: all its recipients are settled")
            return archive.read(found[0])
    except StoreError as error:
        raise CommandError(str(error)) from None
