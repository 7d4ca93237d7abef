"""What CAPABILITY announces (RFC 9051 6.1.1)."""

from collections.abc import Sequence

from posthouse.protocol.imap.settings import ImapSettings

_FIRST = ("IMAP4rev1", "IMAP4rev2", "SASL-IR", "LITERAL+", "ID", "ENABLE")
_THEN = tuple(
    "IDLE NAMESPACE CHILDREN UIDPLUS MOVE UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS"  # noqa: SIM905
    " STATUS=SIZE ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC SORT SORT=DISPLAY ESORT THREAD=REFERENCES"
    " THREAD=ORDEREDSUBJECT MULTIAPPEND BINARY UTF8=ACCEPT QUOTA QUOTA=RES-STORAGE OBJECTID REPLACE SAVEDATE PREVIEW"
    " PARTIAL".split()
)


def capabilities_before_login(*, starttls: bool, mechanisms: Sequence[str]) -> list[str]:
    """While nobody is logged in. `starttls` and `mechanisms` say what is to be had at this moment."""
    found = list(_FIRST)
    if starttls:
        found.append("STARTTLS")
    found += [f"AUTH={name}" for name in mechanisms] if mechanisms else ["LOGINDISABLED"]
    return found


def capabilities_after_login(settings: ImapSettings, *, compressed: bool) -> list[str]:
    """Once somebody is logged in. `compressed`: the connection is already (RFC 4978)."""
    found = [*_FIRST, *_THEN, f"APPENDLIMIT={settings.append_limit}"]
    if not compressed:
        found.append("COMPRESS=DEFLATE")
    return found
