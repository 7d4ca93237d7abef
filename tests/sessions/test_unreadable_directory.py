"""A directory that cannot be read: logins are told that it is not their fault, nor that of others who log in."""

from posthouse.accounts.interface import Refusal, RefusalKind
from posthouse.sessions.login import DIRECTORY_UNREADABLE
from posthouse.sessions.smtp import _refusal


def test_it_is_not_told_as_too_many_logins() -> None:
    assert _refusal(DIRECTORY_UNREADABLE).text == "Temporary failure; try again later"
    assert _refusal(Refusal(RefusalKind.BUSY)).text == "Too many logins at once; try again later"
