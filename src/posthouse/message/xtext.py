"""xtext (RFC 3461 4), and the forms of it for addresses beyond ASCII (RFC 6533 3)."""

import re

_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_UNICODE = re.compile(r"\\x\{([0-9A-F]{2,6})\}")


def encode(text: str) -> str:
    """ASCII text as xtext: whatever is not printable, "+" and "=" as +XX. Raises ValueError beyond ASCII."""
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in text.encode("ascii")
    )


def decode(text: str) -> str:
    """What xtext stands for; what is no escape stays as it is. Octets beyond ASCII become "?"."""
    return _ESCAPE.sub(lambda match: _printable_or_mark(int(match[1], 16)), text)


def encode_utf8(text: str) -> str:
    r"""utf-8-addr-xtext (RFC 6533 3), for places where only ASCII may stand: all else, "+", "=" and "\\" as \\x{XX}."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=\\" else f"\\x{{{ord(character):02X}}}"
        for character in text
    )


def decode_address(text: str) -> tuple[str, str]:
    """An ORCPT value "type;xtext" -> type in lower case, address. ("", "") when it is none."""
    kind, semicolon, address = text.partition(";")
    kind = kind.strip().lower()
    if not semicolon or not kind or not address:
        return "", ""
    if kind != "utf-8":
        return kind, decode(address)
    return kind, _UNICODE.sub(lambda match: _character(int(match[1], 16)), decode(address))  # RFC 6533 3


def _character(number: int) -> str:
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        return "?"
    character = chr(number)
    return character if character.isprintable() else "?"


def _printable_or_mark(octet: int) -> str:
    return chr(octet) if 32 <= octet <= 126 else "?"
