"""posthouse queue list | show | retry | hold | release | drop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from cyclopts import Parameter, validators

from posthouse.app import output
from posthouse.app.commands.opening import open_data_folder
from posthouse.app.commands.passwords import confirmed
from posthouse.app.commands.tracing import ago, as_json_row, format_reply, life, many, state_of
from posthouse.app.commands.where import NOWHERE, AsJson, Where, Yes
from posthouse.app.config.loading import Config
from posthouse.app.config.problems import nearest
from posthouse.app.data_folder.parts import refusal
from posthouse.app.errors import CommandError, Exit
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.message.header import header_end
from posthouse.message.ids import format_id
from posthouse.message.printable import printable
from posthouse.message.sizes import format_size
from posthouse.queue.interface import ACCOUNT, MAILBOX, Filter, Traced
from posthouse.queue.sqlite.admin import QueueAdmin, QueueAdminError, QueueBusyError


@Parameter(name="*")
@dataclass(frozen=True)
class QueueFilter:
    """The options that choose recipients."""

    sender: Annotated[str, Parameter(help="Only from this address or domain; <>: bounces.")] = ""
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

_KNOWN = 5_000  # recipients whose ids are compared with one that is unknown
_MOST = 100_000  # recipients of one message; far more than any has
_REPLY = 60  # characters of the last reply

NO_FILTER = QueueFilter()
Ids = Annotated[str, Parameter(help="As posthouse queue list shows them; their first characters are enough.")]
_All = Annotated[bool, Parameter(name="--all", help="All of the queue.")]


def list_(
    *,
    only: QueueFilter = NO_FILTER,
    settled: Annotated[
        bool, Parameter(name=["--settled", "--all"], help="Also what was settled in the last 7 days.")
    ] = False,
    limit: Annotated[
        int, Parameter(help="At most so many rows.", validator=validators.Number(gte=1, lt=1 << 31))
    ] = 1000,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """List what waits to be sent: to whom, how often it was tried, and what was said last. The newest first."""
    wanted = only.filter((), settled=settled)
    found, (recipients, messages) = _queue_admin(
        where.load(), lambda desk: (desk.recipients(wanted, limit=limit), desk.count(wanted))
    )
    if as_json:
        total = {"recipients": recipients, "messages": messages}
        output.document({"version": 1, "recipients": [as_json_row(each) for each in found], "total": total})
        return
    columns = ["id", "age", "size", "sender", "recipient", "tries", "state", "last reply"]
    everything = "Nothing waits to be sent."
    nothing = everything if only.is_empty else "Nothing that waits is like that."
    output.listing(columns, _rows(found), nothing, below=("sender", "recipient", "last reply"))
    if found:
        shown_ = "" if len(found) >= recipients else f"The newest {len(found)} of "
        output.note(f"{shown_}{many(recipients, 'recipient')} of {many(messages, 'message')}.")
        output.hint("posthouse queue show ID tells all that is known of one.")


def _rows(found: list[Traced]) -> list[list[object]]:
    now = time.time()
    return [
        [
            format_id(each.message.id),
            ago(now - each.message.created),
            format_size(each.message.octets),
            str(each.message.sender.address or "<>"),
            str(each.recipient.address),
            each.attempts,
            state_of(each, now),
            format_reply(each.tries[-1])[:_REPLY] if each.tries else "",
        ]
        for each in found
    ]


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
    if body and (head or as_json):
        raise CommandError("--body goes alone: the message is all that it writes", code=Exit.USAGE)
    config = where.load()
    found = _queue_admin(config, lambda desk: _of_message(desk, ident))
    if body:
        output.octets(_message(config, found[0]))
        return
    header = _header(config, found[0]) if head else []
    if as_json:
        rows = [as_json_row(each) for each in found]
        output.document({"version": 1, "recipients": rows, **({"header": header} if head else {})})
        return
    for line in life(found):
        print(line)
    if head:
        print("", *map(printable, header), sep="\n")


def _of_message(desk: QueueAdmin, ident: str) -> list[Traced]:
    """All recipients of the one message that is meant."""
    _check_known(desk, (ident,))
    found = desk.recipients(Filter((ident,), settled=True), limit=_MOST)
    ids = list(dict.fromkeys(format_id(each.message.id) for each in found))
    if len(ids) > 1:
        fix = f"Give more of it: {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}"
        raise CommandError(f"{len(ids)} messages have an id that begins with {ident}", fix=fix, code=Exit.USAGE)
    return found


def _check_known(desk: QueueAdmin, ids: tuple[str, ...]) -> None:
    """Raises CommandError for an id that no message has."""
    for ident in ids:
        if desk.count(Filter((ident,), settled=True)) == (0, 0):
            near = {
                format_id(each.message.id)[: len(ident)] for each in desk.recipients(Filter(settled=True), limit=_KNOWN)
            }
            meant = nearest(ident.lower(), near)
            text = f"no message {ident} is in the queue{'; ' if meant else ''}{meant}"
            raise CommandError(text, fix="See: posthouse queue list --settled")


def retry_(
    *ids: Ids, only: QueueFilter = NO_FILTER, every: _All = False, where: Where = NOWHERE, as_json: AsJson = False
) -> None:
    """Retry waiting messages now."""
    count = _change(ids, only, every, where, QueueAdmin.retry)
    _report(count, "tried now", as_json)
    if count and not as_json:
        output.hint("posthouse queue list shows how it went. What is held stays so: posthouse queue release")


def hold_(
    *ids: Ids, only: QueueFilter = NO_FILTER, every: _All = False, where: Where = NOWHERE, as_json: AsJson = False
) -> None:
    """Keep those that wait from being tried, until they are released."""
    under_way = 0

    def hold(desk: QueueAdmin, wanted: Filter) -> int:
        nonlocal under_way
        count = desk.hold(wanted)
        under_way = desk.under_way(replace(wanted, held=True))
        return count

    count = _change(ids, only, every, where, hold)
    _report(count, "held", as_json, under_way)


def release_(
    *ids: Ids, only: QueueFilter = NO_FILTER, every: _All = False, where: Where = NOWHERE, as_json: AsJson = False
) -> None:
    """Release held messages."""
    count = _change(ids, only, every, where, QueueAdmin.release)
    _report(count, "released", as_json)


def drop_(
    *ids: Ids,
    only: QueueFilter = NO_FILTER,
    every: _All = False,
    yes: Yes = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Remove waiting messages from the queue. Their senders get no bounce."""
    wanted = _chosen(ids, only, every)
    config = where.load()
    count, messages = _queue_admin(config, lambda desk: _count(desk, wanted))
    if count:
        what = f"{many(count, 'recipient')} of {many(messages, 'message')}"
        confirmed(f"Drop {what} without a bounce?", yes=yes)
        under_way, count = _queue_admin(config, lambda desk: (desk.under_way(wanted), desk.drop(wanted)))
    else:
        under_way = 0
    _report(count, "dropped", as_json, under_way)


def _count(desk: QueueAdmin, wanted: Filter) -> tuple[int, int]:
    _check_known(desk, wanted.ids)
    return desk.count(wanted)


def _change(
    ids: tuple[str, ...], only: QueueFilter, every: bool, where: Where, change: Callable[[QueueAdmin, Filter], int]
) -> int:
    wanted = _chosen(ids, only, every)

    def work(desk: QueueAdmin) -> int:
        _check_known(desk, wanted.ids)
        return change(desk, wanted)

    return _queue_admin(where.load(), work)


def _chosen(ids: tuple[str, ...], only: QueueFilter, every: bool) -> Filter:
    if not ids and only.is_empty and not every:
        fix = "Name ids from posthouse queue list, or --sender, --to, --destination, or --all."
        raise CommandError("which of them?", fix=fix, code=Exit.USAGE)
    return only.filter(ids)


def _report(count: int, what: str, as_json: bool, under_way: int | None = None) -> None:
    """`under_way`: how many of them a sender had in hand, where that matters."""
    if as_json:
        more = {} if under_way is None else {"under_way": under_way}
        output.document({"version": 1, "recipients": count, **more})
        return
    output.note(f"{many(count, 'recipient')} {what}." if count else f"Nothing to be {what}.")
    if under_way:
        what = f"{many(under_way, 'recipient')} may be on the way at this moment"
        output.note(f"{what}: a delivery that has begun goes on.")


def _queue_admin(config: Config, work: Callable[[QueueAdmin], T]) -> T:
    """Open the queue, and do something with it."""
    paths = open_data_folder(config)
    try:
        with QueueAdmin(paths.mail) as desk:
            return work(desk)
    except QueueAdminError as error:
        raise refusal(error, Exit.TRY_LATER if isinstance(error, QueueBusyError) else Exit.FAILED) from None


def _header(config: Config, each: Traced) -> list[str]:
    data = _message(config, each)
    return data[: header_end(data)].decode("utf-8", "replace").rstrip().split("\r\n")


def _message(config: Config, each: Traced) -> bytes:
    """The message itself, as it is sent."""
    paths = open_data_folder(config)
    try:
        with Archive(paths.data) as archive:
            found = archive.find(ACCOUNT, MAILBOX, [each.message.body])
            if not found:
                raise CommandError("the message itself is gone: all its recipients are settled")
            return archive.read(found[0])
    except StoreError as error:
        raise CommandError(f"the message itself cannot be read: {error}", fix="See: posthouse fsck") from None
