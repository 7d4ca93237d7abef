"""What later readers would have to scan an appended message for: lines that begin with a dot, bare CR or LF."""

from collections.abc import Iterable

from posthouse.protocol.smtp.content import holds_bare_break


def survey(chunks: Iterable[bytes]) -> tuple[bool, bool]:
    """Whether some line begins with a dot, and whether there is a CR or LF alone."""
    dots = bare = False
    held = b"\n"  # the first line is like any other
    first = True
    for chunk in chunks:
        block = held + chunk
        dots = dots or b"\n." in block
        # A CR at the end may be half of a CRLF: it is looked at with the next chunk.
        held = block[-1:] if block[-1:] in (b"\r", b"\n") else b""
        whole = block[1:] if first else block
        if held == b"\r":
            whole = whole[:-1]
        elif not first and block[:1] == b"\n":
            whole = whole[1:]
        bare = bare or bool(whole and holds_bare_break(whole))
        first = False
    return dots, bare or held == b"\r"
