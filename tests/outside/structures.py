"""IMAP's parenthesised answers as nested lists."""

import re

Node = bytes | None | list["Node"]
_ATOM = re.compile(rb"[^ ()\r\n]+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n")


def parse(data: bytes) -> list[Node]:
    """All words of an answer: lists for parentheses, None for NIL, octets for strings of every kind."""
    stack: list[list[Node]] = [[]]
    at = 0
    while at < len(data):
        octet = data[at : at + 1]
        if octet == b"(":
            stack.append([])
            at += 1
        elif octet == b")":
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif octet in (b" ", b"\r", b"\n"):
            at += 1
        elif quoted := _QUOTED.match(data, at):
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", quoted.group(1)))
            at = quoted.end()
        elif literal := _LITERAL.match(data, at):
            end = literal.end() + int(literal.group(1))
            stack[-1].append(data[literal.end() : end])
            at = end
        else:
            at = _atom(data, at, stack[-1])
    assert len(stack) == 1, data[:200]
    return stack[0]


def _atom(data: bytes, at: int, words: list[Node]) -> int:
    """An atom; BODY[...] is one, whatever stands between the brackets."""
    found = _ATOM.match(data, at)
    assert found is not None, data[at : at + 50]
    end = found.end()
    if b"[" in found.group() and b"]" not in found.group():
        end = data.index(b"]", at) + 1
    word = data[at:end]
    words.append(None if word.upper() == b"NIL" else word)
    return end


def lowered(node: Node) -> Node:
    """The same without capitals: types, parameters and encodings have no case."""
    if isinstance(node, list):
        return [lowered(each) for each in node]
    return node.lower() if isinstance(node, bytes) else None


def fetched(answer: bytes) -> dict[bytes, Node]:
    """The items of an untagged FETCH."""
    words = parse(answer)
    items = words[3]
    assert isinstance(items, list), answer[:100]
    return {name: value for name, value in zip(items[::2], items[1::2], strict=True) if isinstance(name, bytes)}
