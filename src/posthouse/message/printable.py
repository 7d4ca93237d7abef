"""Text from elsewhere made fit to be shown: nothing in it steers a terminal or begins another line."""


def escape(text: str, *, keep: str = "", also: str = "") -> str:
    r"""Write what is not printable as escapes of ASCII, like \x1b. `keep`: what stays; `also`: what is escaped too."""
    if text.isprintable() and not any(char in text for char in also):
        return text
    return "".join(
        char if char in keep or (char.isprintable() and char not in also) else ascii(char)[1:-1] for char in text
    )


def printable(text: str) -> str:
    """For a terminal: tabs stay."""
    return escape(text, keep="\t")


def one_line(text: str, *, instead: str) -> str:
    """With `instead` in the place of each character that is not printable."""
    return text if text.isprintable() else "".join(char if char.isprintable() else instead for char in text)
