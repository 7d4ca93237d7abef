"""From root to an ordinary user, for good."""

import os

from posthouse.app.process.preload import preload, program_files
from posthouse.app.system_users import User, switch_to, unreadable


def become(user: User) -> None:
    """Give up root, or the user that this process is. There is no way back.

    Raises PermissionError when we are neither root nor that user.
    """
    if os.geteuid() == user.uid and os.getuid() == user.uid:
        return
    if os.geteuid() == 0 and unreadable(user, program_files()):
        preload()
    switch_to(user)
