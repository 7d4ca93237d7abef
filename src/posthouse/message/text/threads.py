"""THREAD: messages grouped by their References or by their subjects (RFC 5256 3). Nothing here is recursive."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_MAX_CLIMB = 1000  # levels that are climbed to see whether a link makes a loop


class ThreadRow(NamedTuple):
    """A message as threading sees it."""

    number: int  # how it is called in the answer
    sent: int  # seconds since 1970
    subject: str  # base subject
    is_reply: bool  # a reply or a forward, by its subject
    message_id: str
    references: tuple[str, ...]  # or the first id of In-Reply-To


@dataclass(slots=True)
class Thread:
    """A message and what was written about it; without number, only a place where one must have been."""

    number: int | None
    children: "list[Thread]" = field(default_factory=list)


class _Node:
    __slots__ = ("children", "parent", "row")

    def __init__(self, row: ThreadRow | None = None) -> None:
        self.row = row
        self.parent: _Node | None = None
        self.children: dict[_Node, None] = {}  # in order; a child is taken out at once, however many there are


def thread_references(rows: Sequence[ThreadRow]) -> list[Thread]:
    """The algorithm REFERENCES."""
    nodes = _linked(rows)
    roots = _pruned([node for node in nodes if node.parent is None])
    roots.sort(key=_sent_and_number)
    roots = _merged(roots)
    for node in _all(roots):
        node.children = dict.fromkeys(sorted(node.children, key=_sent_and_number))
    roots.sort(key=_sent_and_number)
    return _shown(roots)


def thread_ordered_subject(rows: Sequence[ThreadRow]) -> list[Thread]:
    """The algorithm ORDEREDSUBJECT: by base subject; in each thread all others are children of the first."""
    groups: dict[str, list[ThreadRow]] = {}
    for row in sorted(rows, key=lambda row: (row.subject, row.sent, row.number)):
        groups.setdefault(row.subject, []).append(row)
    return [
        Thread(group[0].number, [Thread(row.number) for row in group[1:]])
        for group in sorted(groups.values(), key=lambda group: (group[0].sent, group[0].number))
    ]


def thread_text(threads: Iterable[Thread]) -> bytes:
    """As the answer spells it: (1)(2 3 (4)(5 6))."""
    out: list[bytes] = []
    for thread in threads:
        out.append(b"(")
        _spell(thread, out)
        out.append(b")")
    return b"".join(out)


def _spell(thread: Thread, out: list[bytes]) -> None:
    work: list[Thread | bytes] = [thread]
    bare = True  # no space is due
    while work:
        item = work.pop()
        if isinstance(item, bytes):
            out.append(item)
            bare = item == b"("
            continue
        if item.number is not None:
            out.append(b"%d" % item.number if bare else b" %d" % item.number)
            bare = False
        if len(item.children) == 1:
            work.append(item.children[0])
        elif item.children:
            if item.number is not None:
                out.append(b" ")
            for child in reversed(item.children):
                work += [b")", child, b"("]


def _linked(rows: Sequence[ThreadRow]) -> list[_Node]:
    """Step 1: every message and every id that is referred to, linked as References says."""
    by_id: dict[str, _Node] = {}
    nodes: list[_Node] = []

    def known(ident: str) -> _Node:
        node = by_id.get(ident)
        if node is None:
            node = by_id[ident] = _Node()
            nodes.append(node)
        return node

    for row in rows:
        node = known(row.message_id) if row.message_id else None
        if node is None or node.row is not None:  # without an id, or one that was there before: an id of its own
            node = _Node()
            nodes.append(node)
        node.row = row
        before: _Node | None = None
        for ident in row.references:
            other = known(ident)
            if before is not None and other.parent is None and not _is_above(other, before):
                _link(before, other)
            before = other
        if before is not None and not _is_above(node, before):
            _link(before, node)
    return nodes


def _link(parent: _Node, child: _Node) -> None:
    if child.parent is not None:
        del child.parent.children[child]
    child.parent = parent
    parent.children[child] = None


def _is_above(node: _Node, other: _Node) -> bool:
    """Whether linking `node` below `other` would make a loop, or cannot be told in reasonable time."""
    if node is other or not node.children:
        return node is other
    at: _Node | None = other
    for _ in range(_MAX_CLIMB):
        if at is None:
            return False
        if at is node:
            return True
        at = at.parent
    return True


def _pruned(roots: list[_Node]) -> list[_Node]:
    """Step 3: places without message go, if they hold nothing, or only one thread, or are not at the top."""
    order = _all(roots)
    for node in reversed(order):  # children before parents
        kept: list[_Node] = []
        for child in node.children:
            if child.row is not None:
                kept.append(child)
            else:
                kept += child.children
        for child in kept:
            child.parent = node
        node.children = dict.fromkeys(kept)
    found: list[_Node] = []
    for root in roots:
        if root.row is not None or len(root.children) > 1:
            found.append(root)
        elif root.children:
            (child,) = root.children
            child.parent = None
            found.append(child)
    return found


def _all(roots: Sequence[_Node]) -> list[_Node]:
    """Every node, parents before children."""
    found = list(roots)
    for node in found:
        found += node.children
    return found


def _first(node: _Node) -> ThreadRow:
    """The message that stands for a thread: its own, or that of its first child."""
    while node.row is None:
        node = min(node.children, key=_sent_and_number)
    return node.row


def _sent_and_number(node: _Node) -> tuple[int, int]:
    row = _first(node)
    return row.sent, row.number


def _merged(roots: list[_Node]) -> list[_Node]:
    """Step 5: threads with the same base subject become one."""
    table: dict[str, _Node] = {}
    for root in roots:
        subject = _first(root).subject
        if not subject:
            continue
        other = table.get(subject)
        if (
            other is None
            or (other.row is not None and root.row is None)
            or (other.row is not None and root.row is not None and other.row.is_reply and not root.row.is_reply)
        ):
            table[subject] = root
    gone: set[int] = set()
    added: list[_Node] = []
    for root in roots:
        subject = _first(root).subject
        other = table.get(subject) if subject else None
        if other is None or other is root:
            continue
        if other.row is None and root.row is None:
            for child in root.children:
                child.parent = other
            other.children |= root.children
        elif other.row is None or (root.row is not None and root.row.is_reply and not other.row.is_reply):
            root.parent = other
            other.children[root] = None
        else:
            place = _Node()
            for child in (other, root):
                child.parent = place
                place.children[child] = None
            gone.add(id(other))
            table[subject] = place
            added.append(place)
        gone.add(id(root))
    return [root for root in (*roots, *added) if id(root) not in gone]


def _shown(roots: Sequence[_Node]) -> list[Thread]:
    made: dict[int, Thread] = {}
    for node in reversed(_all(roots)):
        children = [made[id(child)] for child in node.children]
        made[id(node)] = Thread(node.row.number if node.row else None, children)
    return [made[id(root)] for root in roots]
