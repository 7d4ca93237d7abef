"""Commands about mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE and quotas. LIST has its own file."""

from posthouse.mailstore.interface import BadNameError, Mailbox, MailboxExistsError, NoSuchMailboxError, Role
from posthouse.mailstore.names import SEPARATOR
from posthouse.protocol.imap.answers import mailbox as mailbox_text
from posthouse.protocol.imap.answers import string
from posthouse.protocol.imap.commands import (
    Create,
    Delete,
    GetQuota,
    Namespace,
    Rename,
    SetQuota,
    Status,
    Subscribe,
)
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.errors import RefusedError

USES = {f"\\{role.value}": role for role in Role if role}
ROOT = "account"  # the only quota root: all mailboxes of an account share one bound


async def create(ctx: Context, command: Create) -> None:
    """Make a mailbox. A name that ends with the separator only says that others shall be below it."""
    roles = [USES.get(use) for use in command.use]
    if len(roles) > 1 or None in roles:
        raise RefusedError("A mailbox here has one special use of those that LIST shows", "USEATTR")  # RFC 6154 3
    try:
        role = roles[0] or Role.NONE if roles else Role.NONE
        mailbox = await ctx.commit(ctx.store.create(ctx.account.id, command.mailbox.removesuffix(SEPARATOR), role))
    except MailboxExistsError as error:
        raise RefusedError(_sentence(error), "USEATTR" if "another" in str(error) else "ALREADYEXISTS") from None
    except BadNameError as error:
        raise RefusedError(_sentence(error), "CANNOT") from None
    ctx.engine.done(f"MAILBOXID (F{mailbox.id})")


async def delete(ctx: Context, command: Delete) -> None:
    """Remove a mailbox."""
    try:
        await ctx.commit(ctx.store.delete(ctx.account.id, command.mailbox))
    except NoSuchMailboxError:
        raise RefusedError("There is no such mailbox", "NONEXISTENT") from None
    except BadNameError as error:
        raise RefusedError(_sentence(error), "CANNOT") from None
    ctx.engine.done()


async def rename(ctx: Context, command: Rename) -> None:
    """Give a mailbox another name."""
    try:
        new = command.new.removesuffix(SEPARATOR)
        await ctx.commit(ctx.store.rename(ctx.account.id, command.mailbox, new))
    except NoSuchMailboxError:
        raise RefusedError("There is no such mailbox", "NONEXISTENT") from None
    except MailboxExistsError as error:
        raise RefusedError(_sentence(error), "ALREADYEXISTS") from None
    except BadNameError as error:
        raise RefusedError(_sentence(error), "CANNOT") from None
    ctx.engine.done()


async def subscribe(ctx: Context, command: Subscribe) -> None:
    """Note that the owner wants to see a name, or does not."""
    try:
        name = command.mailbox.removesuffix(SEPARATOR)
        await ctx.commit(ctx.store.subscribe(ctx.account.id, name, command.wanted))
    except BadNameError as error:
        raise RefusedError(_sentence(error), "CANNOT") from None
    ctx.engine.done()


async def namespace(ctx: Context, command: Namespace) -> None:
    """There is one: the owner's (RFC 2342)."""
    ctx.engine.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    ctx.engine.done()


async def status(ctx: Context, command: Status) -> None:
    """Counters of a mailbox that need not be open."""
    mailbox = await ctx.store.mailbox(ctx.account.id, command.mailbox)
    if mailbox is None:
        raise RefusedError("There is no such mailbox", "NONEXISTENT")
    if "HIGHESTMODSEQ" in command.items:
        ctx.notice_condstore()
    ctx.engine.send(await status_line(ctx, mailbox, command.items))
    ctx.engine.done()


async def status_line(ctx: Context, mailbox: Mailbox, items: tuple[str, ...]) -> bytes:
    """The answer to STATUS, in the order asked for."""
    words = []
    for item in items:
        if item == "MAILBOXID":
            words.append(b"MAILBOXID (F%d)" % mailbox.id)
        elif item == "DELETED-STORAGE":
            octets = await ctx.store.deleted_octets(ctx.account.id, mailbox.id)
            words.append(b"DELETED-STORAGE %d" % octets)
        else:
            words.append(b"%b %d" % (item.encode(), _counter(ctx, mailbox, item)))
    return b"* STATUS %b (%b)\r\n" % (mailbox_text(mailbox.name, utf8=ctx.mode.utf8), b" ".join(words))


def _counter(ctx: Context, mailbox: Mailbox, item: str) -> int:
    return {
        "MESSAGES": mailbox.messages,
        "RECENT": 0,
        "UIDNEXT": mailbox.uidnext,
        "UIDVALIDITY": mailbox.uidvalidity,
        "UNSEEN": mailbox.unseen,
        "DELETED": mailbox.deleted,
        "SIZE": mailbox.octets,
        "HIGHESTMODSEQ": max(1, mailbox.modseq),
        "APPENDLIMIT": ctx.engine.append_limit,
    }[item]


async def quota(ctx: Context, command: GetQuota) -> None:
    """What the account holds and may hold (RFC 9208)."""
    if command.mailbox is None and command.root != ROOT:
        raise RefusedError("There is no such quota root", "NONEXISTENT")
    if command.mailbox is not None:
        if await ctx.store.mailbox(ctx.account.id, command.mailbox) is None:
            raise RefusedError("There is no such mailbox", "NONEXISTENT")
        name = mailbox_text(command.mailbox, utf8=ctx.mode.utf8)
        ctx.engine.send(b"* QUOTAROOT %b %b\r\n" % (name, string(ROOT.encode())))
    usage = await ctx.store.usage(ctx.account.id)
    limits = b""
    if ctx.account.quota is not None:  # RFC 9208 5.1: in units of 1024 octets
        limits = b"STORAGE %d %d" % (-(-usage.octets // 1024), ctx.account.quota // 1024)
    ctx.engine.send(b"* QUOTA %b (%b)\r\n" % (string(ROOT.encode()), limits))
    ctx.engine.done()


async def set_quota(ctx: Context, command: SetQuota) -> None:
    """Only the operator does that."""
    raise RefusedError("Quotas are set by the operator of this server", "NOPERM")


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
