"""The numbers in POP3 commands."""

MAX_DIGITS = 20  # of a number; no maildrop holds as many messages, no message as many lines


def parse_number(text: bytes) -> int | None:
    """A decimal number (RFC 1939 3); None when it is none. Some clients write zeros in front."""
    if not text.isdigit():
        return None
    digits = text.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= MAX_DIGITS else None
