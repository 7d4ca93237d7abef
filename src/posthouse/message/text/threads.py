"""THREAD: messages grouped by their References or by their subjects (RFC 5256 3). Nothing here is recursive."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Levels climbed in search of loops: in one call altogether, and for each link once those are used up.
_CLIMBS = 2_000_000
_FEW_CLIMBS = 1000


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
    """The algorithm REFERENCES. A dummy is sorted by the earliest of its children."""
    links = _Links()
    for row in rows:
        links.add(row)
    roots = _pruned([node for node in links.nodes if node.parent is None])  # steps 2 and 3
    roots.sort(key=_sent_and_number)  # step 4
    roots = _merged(roots)
    for node in _all(roots):  # step 6
        node.children = dict.fromkeys(sorted(node.children, key=_sent_and_number))
    roots.sort(key=_sent_and_number)
    return _as_threads(roots)


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


class _Links:
    """Step 1: every message and every id that is referred to, linked as References says."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._by_id: dict[str, _Node] = {}
        self._climbs = _CLIMBS

    def add(self, row: ThreadRow) -> None:
        node = self._of_message(row)
        before: _Node | None = None
        for ident in row.references:  # step 1 (A): what has a parent keeps it
            other = self._of_id(ident)
            if before is not None and other.parent is None and not self._is_above(other, before):
                _link(before, other)
            before = other
        if node.parent is not None:  # step 1 (B): the message's own References say better, even if there are none
            del node.parent.children[node]
            node.parent = None
        if before is not None and not self._is_above(node, before):
            _link(before, node)

    def _of_message(self, row: ThreadRow) -> _Node:
        """Of messages with the same id, the first has it; the others, and those without, have one of their own."""
        node = self._of_id(row.message_id) if row.message_id else None
        if node is None or node.row is not None:
            node = _Node()
            self.nodes.append(node)
        node.row = row
        return node

    def _of_id(self, ident: str) -> _Node:
        node = self._by_id.get(ident)
        if node is None:
            node = self._by_id[ident] = _Node()
            self.nodes.append(node)
        return node

    def _is_above(self, node: _Node, other: _Node) -> bool:
        """Whether linking `node` below `other` would make a loop, or that cannot be known in reasonable time."""
        if node is other or not node.children:
            return node is other
        at: _Node | None = other
        most = max(self._climbs, _FEW_CLIMBS)
        for climbed in range(most):
            if at is None or at is node:
                self._climbs -= climbed
                return at is node
            at = at.parent
        self._climbs -= most
        return True


def _link(parent: _Node, child: _Node) -> None:
    """The child has no parent yet."""
    child.parent = parent
    parent.children[child] = None


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
    table = _subject_table(roots)
    for root in roots:  # step 5 (C)
        subject = _first(root).subject
        other = table.get(subject)
        if other is None or other is root:
            continue
        if other.row is None and root.row is None:
            for child in root.children:
                child.parent = other
            other.children |= root.children
            root.children = {}
        elif other.row is None or (_is_reply(root) and not other.row.is_reply):
            _link(other, root)
        else:
            table[subject] = place = _Node()
            _link(place, other)
            _link(place, root)
    added = [node for node in table.values() if node.row is None]
    kept = [root for root in roots if root.parent is None and (root.row is not None or root.children)]
    return list(dict.fromkeys((*kept, *added)))


def _subject_table(roots: Sequence[_Node]) -> dict[str, _Node]:
    """Step 5 (A) and (B): base subject -> the thread that others with it are to join."""
    table: dict[str, _Node] = {}
    for root in roots:
        subject = _first(root).subject
        if not subject:
            continue
        other = table.setdefault(subject, root)
        if other.row is not None and (root.row is None or (other.row.is_reply and not root.row.is_reply)):
            table[subject] = root
    return table


def _is_reply(node: _Node) -> bool:
    return node.row is not None and node.row.is_reply


def _as_threads(roots: Sequence[_Node]) -> list[Thread]:
    made: dict[int, Thread] = {}
    for node in reversed(_all(roots)):
        children = [made[id(child)] for child in node.children]
        made[id(node)] = Thread(node.row.number if node.row else None, children)
    return [made[id(root)] for root in roots]
