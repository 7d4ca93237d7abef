"""What makes a command fail."""


class RefusedError(Exception):
    """The command fails: NO (or BAD) with this code and text."""

    def __init__(self, text: str, code: str = "", *, bad: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.bad = bad
