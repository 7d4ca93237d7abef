"""LIST (RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 6.3.9)."""

import asyncio
from collections.abc import Iterable

from posthouse.mailstore.interface import INBOX, Mailbox, Role
from posthouse.mailstore.names import above
from posthouse.protocol.imap.answers import mailbox as mailbox_text
from posthouse.protocol.imap.commands import List
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.mailboxes import status_line
from posthouse.sessions.imap.patterns import Patterns

_EFFORT = 50_000  # of Patterns, before others get their turn
_USES = {role: f"\\{role.value.capitalize()}" for role in Role if role}


async def list_mailboxes(ctx: Context, command: List) -> None:
    """Every name that fits a pattern, once."""
    if command.patterns == ("",) and not command.extended and not command.lsub:
        ctx.engine.send(b'* LIST (\\Noselect) "/" ""\r\n')  # RFC 9051 6.3.9: the separator is asked for
        ctx.engine.done()
        return
    held = {mailbox.name: mailbox for mailbox in await ctx.store.mailboxes(ctx.account.id)}
    subscribed = set(await ctx.store.subscriptions(ctx.account.id))
    lines = _Lines(ctx, command, held, subscribed)
    patterns = Patterns(command.reference + pattern for pattern in command.patterns)
    fitting = await _fitting(patterns, lines.names)
    lines.note(fitting)
    for name in sorted(fitting, key=lambda name: (name != INBOX, name)):
        attributes = lines.attributes(name)
        if attributes is None:
            continue
        ctx.engine.send(lines.line(name, attributes))
        if command.status and name in held and "\\NonExistent" not in attributes:
            ctx.engine.send(await status_line(ctx, held[name], command.status))
    ctx.engine.done()


async def _fitting(patterns: Patterns, names: Iterable[str]) -> set[str]:
    """The names that fit. There may be a hundred long patterns, and thousands of names."""
    found: set[str] = set()
    effort = 0
    for name in names:
        if patterns.fit(name):
            found.add(name)
        effort += patterns.effort
        if effort > _EFFORT:
            await asyncio.sleep(0)
            effort = 0
    return found


def _levels_above(names: Iterable[str]) -> set[str]:
    return {level for name in names for level in above(name)}


class _Lines:
    def __init__(self, ctx: Context, command: List, held: dict[str, Mailbox], subscribed: set[str]) -> None:
        self._ctx = ctx
        self._command = command
        self._held = held
        self._subscribed = subscribed
        every = held.keys() | subscribed if "subscribed" in command.select else set(held)
        self._implied = _levels_above(every)
        self._parents = _levels_above(held)
        self.names = every | self._implied
        self._chosen = {name for name in every if self._is_chosen(name)}
        self._above_chosen = _levels_above(self._chosen)
        self._above_hidden: set[str] = set()  # above what was chosen but does not fit a pattern

    def note(self, fitting: set[str]) -> None:
        """These are the names that fit."""
        self._above_hidden = _levels_above(self._chosen - fitting)

    def attributes(self, name: str) -> list[str] | None:
        """The attributes of a name; None: it is not to be listed."""
        command, held = self._command, self._held
        if command.lsub:
            return self._lsub(name)
        chosen = self._is_chosen(name)
        # RFC 5258 3.5: for a name whose children were chosen but do not match themselves
        children = "recursivematch" in command.select and name in self._above_hidden
        if not chosen and not children:
            return None
        found: list[str] = []
        if name not in held:
            found += ["\\NonExistent", "\\Noselect"]  # the second for clients that do not know the first (RFC 5258 3)
        found.append("\\HasChildren" if name in self._parents else "\\HasNoChildren")
        if name in self._subscribed and {"subscribed"} & (command.select | command.returns):
            found.append("\\Subscribed")
        if name in held and held[name].role:
            found.append(_USES[held[name].role])
        return found

    def line(self, name: str, attributes: list[str]) -> bytes:
        """The answer for one name."""
        word = b"LSUB" if self._command.lsub else b"LIST"
        extended = b""
        if "recursivematch" in self._command.select and name in self._above_chosen:
            extended = b' (CHILDINFO ("SUBSCRIBED"))'
        quoted = mailbox_text(name, utf8=self._ctx.mode.utf8)
        return b'* %b (%b) "/" %b%b\r\n' % (word, " ".join(attributes).encode(), quoted, extended)

    def _is_chosen(self, name: str) -> bool:
        select = self._command.select
        if "subscribed" in select and name not in self._subscribed:
            return False
        if "special-use" in select and not (name in self._held and self._held[name].role):
            return False
        if "subscribed" in select:
            return True
        return name in self._held or name in self._implied

    def _lsub(self, name: str) -> list[str] | None:
        if name in self._subscribed:
            return []
        # RFC 3501 6.3.9: only the level above is matched by %
        return ["\\Noselect"] if name in self._above_hidden else None
