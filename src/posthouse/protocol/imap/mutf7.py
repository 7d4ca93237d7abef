"""Modified UTF-7, in which IMAP4rev1 names mailboxes (RFC 3501 5.1.3)."""

import binascii


def encode(name: str) -> bytes:
    """A name as rev1 clients want it."""
    if name.isascii() and "&" not in name and name.isprintable():
        return name.encode()
    out: list[bytes] = []
    run: list[str] = []
    for char in name:
        if " " <= char <= "~":
            _shift(out, run)
            out.append(b"&-" if char == "&" else char.encode())
        else:
            run.append(char)
    _shift(out, run)
    return b"".join(out)


def decode(octets: bytes) -> str:
    """The name. Raises ValueError for what breaks the rules: a name has one way to be written."""
    if b"&" not in octets:
        if not octets.isascii() or not octets.decode().isprintable():
            raise ValueError("octets that are not printable in modified UTF-7")
        return octets.decode()
    first, *shifted = octets.split(b"&")
    out = [first.decode("ascii")]
    for part in shifted:
        coded, end, plain = part.partition(b"-")
        if not end:
            raise ValueError("unfinished shift in modified UTF-7")
        out.append(_unshift(coded) if coded else "&")
        out.append(plain.decode("ascii"))
    name = "".join(out)
    if encode(name) != octets:
        raise ValueError("needless shift in modified UTF-7")
    return name


def _shift(out: list[bytes], run: list[str]) -> None:
    if run:
        coded = binascii.b2a_base64("".join(run).encode("utf-16-be", "surrogatepass"), newline=False)
        out.append(b"&" + coded.rstrip(b"=").replace(b"/", b",") + b"-")
        run.clear()


def _unshift(coded: bytes) -> str:
    if b"/" in coded:
        raise ValueError("/ in modified UTF-7")
    padded = coded.replace(b",", b"/") + b"=" * (-len(coded) % 4)
    return binascii.a2b_base64(padded, strict_mode=True).decode("utf-16-be")
