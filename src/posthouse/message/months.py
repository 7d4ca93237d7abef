"""The names of the months in mail: the same in RFC 5322 3.3 and RFC 9051 9, in English and of three letters."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = {name.lower(): number for number, name in enumerate(MONTHS, 1)}


def month_number(name: str | bytes) -> int | None:
    """1 to 12 for a name in any case; None when there is no such month."""
    text = name if isinstance(name, str) else name.decode("ascii", "replace")
    return _NUMBERS.get(text.lower())
