"""A login name as the directory understands it."""

from dataclasses import dataclass

from posthouse.accounts.rows import LoginRow


@dataclass(frozen=True, slots=True)
class LoginName:
    """Who a peer says it is. `name` is the one form of all spellings of that login, whether it exists or not."""

    name: str
    login: LoginRow | None
