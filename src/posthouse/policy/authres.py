"""Authentication-Results (RFC 8601): fields that claim to be this server's own, and are not.

Mail programs and filters believe what our own name vouches for. So a message from outside may not bring such a field
along: RFC 8601 5 has it removed, in whatever spelling a reader might take for ours. A field without any name counts as
ours, too, since a reader may take it so. The fields of other servers stay; nobody here believes them.
"""

import re

from posthouse.message.address import AddressError, to_a_labels
from posthouse.message.edit import placed_fields

_OWN_PREFIX = b"x-posthouse-"
_RESULTS = b"authentication-results"
_MAY_BE_OWN = re.compile(rb"\n(?:auth|x-posth)", re.IGNORECASE)  # at the start of a line
_ID = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s;"]+)')


def forged_fields(head: bytes, authserv_id: str) -> list[tuple[int, int]]:
    """Where fields stand that only this server may write: (start, end) in octets of the head, ascending.

    `authserv_id` is our name, in lower case. Most messages have none, which takes about a microsecond to see.
    """
    if _MAY_BE_OWN.search(head) is None and _MAY_BE_OWN.match(b"\n" + head[:16]) is None:
        return []
    return [
        (field.start, field.end)
        for field in placed_fields(head)
        if field.name.startswith(_OWN_PREFIX) or (field.name == _RESULTS and _claims(field.value, authserv_id))
    ]


def _claims(value: bytes, authserv_id: str) -> bool:
    """Whether the value of a field names us, or nobody."""
    text = _without_comments(value.decode("utf-8", "replace")).strip()
    found = _ID.match(text)
    if found is None:
        return True
    quoted, bare = found.groups()
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
    return "=" in name or not name.strip() or _normal(name) == _normal(authserv_id)


def _normal(name: str) -> str:
    name = name.strip().rstrip(".").lower()
    try:
        return to_a_labels(name).lower()
    except AddressError:
        return name


def _without_comments(text: str) -> str:
    """RFC 5322 3.2.2: what stands in parentheses, which may be nested, says nothing. Quoted strings stay."""
    kept: list[str] = []
    depth, quoted, escaped = 0, False, False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif quoted:
            quoted = character != '"'
        elif character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            kept.append(" ")
            continue
        elif character == '"' and not depth:
            quoted = True
        if not depth:
            kept.append(character)
    return "".join(kept)
