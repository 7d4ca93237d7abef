"""LIST (RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 6.3.9)."""

from collections.abc import Iterable

from posthouse.mailstore.interface import INBOX, Mailbox, Role
from posthouse.mailstore.names import SEPARATOR, above, canonical
from posthouse.protocol.imap.answers import mailbox as mailbox_text
from posthouse.protocol.imap.commands import List
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.mailboxes import status_line

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
    matches = _Matcher(command.reference + pattern for pattern in command.patterns)
    for name in lines.names():
        if not matches(name):
            continue
        attributes = lines.attributes(name, matches)
        if attributes is None:
            continue
        ctx.engine.send(lines.line(name, attributes))
        if command.status and name in held and "\\NonExistent" not in attributes:
            ctx.engine.send(await status_line(ctx, held[name], command.status))
    ctx.engine.done()


class _Lines:
    def __init__(self, ctx: Context, command: List, held: dict[str, Mailbox], subscribed: set[str]) -> None:
        self._ctx = ctx
        self._command = command
        self._held = held
        self._subscribed = subscribed
        every = held.keys() | subscribed if "subscribed" in command.select else held.keys()
        self._implied = {level for name in every for level in above(name)}
        self._every = every
        self._parents = {level for name in held for level in above(name)}

    def names(self) -> list[str]:
        """All that there are, and the levels above them; INBOX first."""
        return sorted(self._every | self._implied, key=lambda name: (name != INBOX, name))

    def attributes(self, name: str, matches: "_Matcher") -> list[str] | None:
        """What is to be said of a name; None: it is not to be listed."""
        command, held = self._command, self._held
        if command.lsub:
            return self._lsub(name, matches)
        chosen = self._is_chosen(name)
        children = self._chosen_below(name, matches) if "recursivematch" in command.select else False
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
        if "recursivematch" in self._command.select and self._has_chosen_child(name):
            extended = b' (CHILDINFO ("SUBSCRIBED"))'
        shown = mailbox_text(name, utf8=self._ctx.utf8)
        return b'* %b (%b) "/" %b%b\r\n' % (word, " ".join(attributes).encode(), shown, extended)

    def _is_chosen(self, name: str) -> bool:
        select = self._command.select
        if "subscribed" in select and name not in self._subscribed:
            return False
        if "special-use" in select and not (name in self._held and self._held[name].role):
            return False
        if "subscribed" in select:
            return True
        return name in self._held or name in self._implied

    def _has_chosen_child(self, name: str) -> bool:
        prefix = name + SEPARATOR
        return any(other.startswith(prefix) and self._is_chosen(other) for other in self._every)

    def _chosen_below(self, name: str, matches: "_Matcher") -> bool:
        """RFC 5258 3.5: told of a name whose children were chosen but do not match themselves."""
        prefix = name + SEPARATOR
        return any(other.startswith(prefix) and self._is_chosen(other) and not matches(other) for other in self._every)

    def _lsub(self, name: str, matches: "_Matcher") -> list[str] | None:
        if name in self._subscribed:
            return []
        prefix = name + SEPARATOR
        if any(other.startswith(prefix) and not matches(other) for other in self._subscribed):
            return ["\\Noselect"]  # RFC 3501 6.3.9: only the level above is matched by %
        return None


class _Matcher:
    """Whether a name fits one of some patterns (RFC 9051 6.3.9): * is anything, % anything within a level."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [canonical(pattern) for pattern in patterns if pattern]

    def __call__(self, name: str) -> bool:
        # INBOX has no case: "inb*" is a pattern for it.
        return any(
            _fits(pattern, name) or (name == INBOX and _fits(pattern.upper(), name)) for pattern in self._patterns
        )


def _fits(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if "*" not in pattern and "%" not in pattern:
        return pattern == name
    # All places in the pattern where we may be, at once: the time is bounded by the product of the lengths.
    places = _reached(pattern, {0})
    for char in name:
        after = set()
        for place in places:
            if place < len(pattern):
                token = pattern[place]
                if token == "*" or (token == "%" and char != SEPARATOR):
                    after.add(place)
                elif token == char:
                    after.add(place + 1)
        if not after:
            return False
        places = _reached(pattern, after)
    return len(pattern) in places


def _reached(pattern: str, places: set[int]) -> set[int]:
    """With the places behind wildcards that stand for nothing."""
    found = set(places)
    for place in places:
        while place < len(pattern) and pattern[place] in "*%":
            place += 1
            found.add(place)
    return found
