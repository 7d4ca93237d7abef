"""Mailboxes in memory: made, renamed, removed. Names come in their canonical form; what raises has changed nothing."""

from collections.abc import Sequence

from posthouse.mailstore.interface import INBOX, BadNameError, MailboxExistsError, NoSuchMailboxError, Role
from posthouse.mailstore.names import above, checked, is_below
from tests.memory_store.account import Box, MemoryAccount
from tests.memory_store.messages import move


def create(owner: MemoryAccount, name: str, role: Role, now: int) -> Box:
    """See Mailstore."""
    if name in owner.boxes:
        raise MailboxExistsError(f"there is a mailbox {name} already")
    if role and _holds(owner, role):
        raise MailboxExistsError(f"another mailbox is the one for {role} already")
    owner.bump()
    _make_above(owner, name, now)
    return owner.make(name, now, role)


def rename(owner: MemoryAccount, name: str, new: str, now: int) -> None:
    """See Mailstore."""
    if name == INBOX:
        target = create(owner, new, Role.NONE, now)
        move(owner, owner.boxes[INBOX], list(owner.boxes[INBOX].items), target, now)
        return
    if is_below(new, name):
        raise BadNameError(f"{name} cannot be moved below itself")
    names = _tree(owner, name)
    if not names:
        raise NoSuchMailboxError(f"there is no mailbox {name}")
    if _tree(owner, new):
        raise MailboxExistsError(f"there is a mailbox {new} already")
    renamed = {old: checked(new + old[len(name) :]) for old in names}
    owner.bump()
    _make_above(owner, new, now)
    for old, later in renamed.items():
        box = owner.boxes[later] = owner.boxes.pop(old)
        box.name, box.modseq = later, owner.modseq


def delete(owner: MemoryAccount, name: str) -> None:
    """See Mailstore."""
    if name == INBOX:
        raise BadNameError("INBOX cannot be removed")
    owner.by_name(name)
    owner.bump()
    del owner.boxes[name]


def create_default_mailboxes(owner: MemoryAccount, mailboxes: Sequence[tuple[str, Role]], now: int) -> None:
    """See Mailstore."""
    owner.has_defaults = True
    for name, role in mailboxes:
        free = Role.NONE if _holds(owner, role) else role
        if name not in owner.boxes:
            create(owner, name, free, now)
        elif free and not owner.boxes[name].role:
            owner.boxes[name].role = free
            owner.bump()
    owner.subscriptions.update((INBOX, *(name for name, _ in mailboxes)))


def _make_above(owner: MemoryAccount, name: str, now: int) -> None:
    for level in above(name):
        if level not in owner.boxes:
            owner.make(level, now)


def _tree(owner: MemoryAccount, name: str) -> list[str]:
    return [found for found in owner.boxes if found == name or is_below(found, name)]


def _holds(owner: MemoryAccount, role: Role) -> bool:
    return role is not Role.NONE and any(box.role is role for box in owner.boxes.values())
