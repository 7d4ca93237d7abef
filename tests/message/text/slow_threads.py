"""REFERENCES as RFC 5256 3 spells it, step by step, with recursion and without any care for time."""

from collections.abc import Sequence
from typing import Any

from posthouse.message.text import Thread, ThreadRow


class Message:
    """One that is there, or a dummy."""

    def __init__(self, row: ThreadRow | None = None) -> None:
        self.row = row
        self.parent: Message | None = None
        self.children: list[Message] = []

    def link(self, child: "Message") -> None:
        """Unless it would make a loop."""
        at: Message | None = self
        while at is not None:
            if at is child:
                return
            at = at.parent
        child.parent = self
        self.children.append(child)

    def unlink(self) -> None:
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    def first(self) -> ThreadRow:
        return self.row or min((child.first() for child in self.children), key=lambda row: (row.sent, row.number))

    def order(self) -> tuple[int, int]:
        return self.first().sent, self.first().number


def references(rows: Sequence[ThreadRow]) -> list[Thread]:
    root = Message()
    root.children = [message for message in _linked(rows) if message.parent is None]
    root.children = [kept for child in root.children for kept in _pruned(child, at_top=True)]
    root.children.sort(key=Message.order)
    _merge(root)
    _sort(root)
    return [_thread(child) for child in root.children]


def _linked(rows: Sequence[ThreadRow]) -> list[Message]:
    known: dict[Any, Message] = {}
    for number, row in enumerate(rows):
        name: Any = row.message_id
        if not name or (name in known and known[name].row is not None):
            name = number  # unique
        message = known.setdefault(name, Message())
        message.row = row
        before = None
        for reference in row.references:
            other = known.setdefault(reference, Message())
            if before is not None and other.parent is None:
                before.link(other)
            before = other
        message.unlink()
        if before is not None:
            before.link(message)
    return list(known.values())


def _pruned(message: Message, *, at_top: bool) -> list[Message]:
    """What stays in its place."""
    message.children = [kept for child in message.children for kept in _pruned(child, at_top=False)]
    if message.row is None and (not at_top or len(message.children) < 2):
        return message.children
    return [message]


def _merge(root: Message) -> None:
    table: dict[str, Message] = {}
    for child in root.children:
        subject = child.first().subject
        if not subject:
            continue
        if subject not in table or (
            (held := table[subject]).row is not None
            and (child.row is None or (held.row.is_reply and not child.row.is_reply))
        ):
            table[subject] = child
    for child in list(root.children):
        subject = child.first().subject
        if not subject or table[subject] is child:
            continue
        held = table[subject]
        root.children.remove(child)
        if held.row is None and child.row is None:
            held.children += child.children
        elif held.row is None or (child.row is not None and child.row.is_reply and not held.row.is_reply):
            held.children.append(child)
        else:
            table[subject] = dummy = Message()
            dummy.children = [held, child]
            root.children[root.children.index(held)] = dummy


def _sort(message: Message) -> None:
    for child in message.children:
        _sort(child)
    message.children.sort(key=Message.order)


def _thread(message: Message) -> Thread:
    return Thread(message.row.number if message.row else None, [_thread(child) for child in message.children])
