"""Who claims: the beats of all processes that send, and the end of what the dead have claimed.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

import apsw

from posthouse.queue.sqlite.rows import fetch_all

_RELEASE_ALL = "UPDATE queued_recipient SET claim = 0 WHERE claim = ?1"
_BEAT = "INSERT INTO claimer VALUES (?1, 1, 0) ON CONFLICT (token) DO UPDATE SET beat = beat + 1"
_TOKENS = """
    WITH RECURSIVE token (claim) AS (
        SELECT min(claim) FROM queued_recipient INDEXED BY queued_claimed WHERE claim <> 0
        UNION ALL
        SELECT (SELECT min(claim) FROM queued_recipient INDEXED BY queued_claimed WHERE claim <> 0 AND claim > t.claim)
        FROM token t WHERE t.claim IS NOT NULL
    )
    SELECT claim FROM token WHERE claim IS NOT NULL
"""


def renew(connection: apsw.Connection, token: int) -> None:
    """Show that a claimer is alive."""
    connection.execute(_BEAT, (token,))


def read_claimers(connection: apsw.Connection) -> dict[int, tuple[int, int]]:
    """All claimers: their beats, and the orders given to them. Whose claims are all that is left has the beat -1."""
    found = {token: (-1, 0) for (token,) in fetch_all(connection, _TOKENS, ())}
    found |= {token: (beat, orders) for token, beat, orders in fetch_all(connection, "SELECT * FROM claimer", ())}
    return found


def end_claims_of(connection: apsw.Connection, token: int, beat: int) -> bool:
    """End the claims of a claimer, unless its beat is another one by now; whether that was done."""
    current = connection.execute("SELECT beat FROM claimer WHERE token = ?", (token,)).get
    if (-1 if current is None else current) != beat:
        return False
    leave(connection, token)
    return True


def leave(connection: apsw.Connection, token: int) -> None:
    """Give up all claims of a claimer."""
    connection.execute("DELETE FROM claimer WHERE token = ?", (token,))
    connection.execute(_RELEASE_ALL + " AND claim <> 0", (token,))


def leave_all(connection: apsw.Connection) -> None:
    """End all claims: for a server that starts, when no other one can be alive."""
    connection.execute("DELETE FROM claimer")
    connection.execute("UPDATE queued_recipient SET claim = 0 WHERE claim <> 0")
