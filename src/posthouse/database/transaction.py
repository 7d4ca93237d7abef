"""A transaction that several rooms write rows in: all of it is kept, or nothing."""


class SharedTransaction:
    """An open one, given to those who take part in it; of no use after the call. Each store has its own kind."""

    __slots__ = ()
