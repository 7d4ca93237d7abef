"""What must hold in every directory file at any time."""

from pathlib import Path

import apsw

from posthouse.accounts.names import domain_key, local_key

_NOTHING = {
    "an account stands in a domain that is there and repeats none": """
        SELECT id FROM accounts WHERE domain NOT IN (SELECT key FROM domains WHERE alias_of IS NULL)""",
    "an alias stands in a domain that is there and repeats none": """
        SELECT local FROM aliases WHERE domain NOT IN (SELECT key FROM domains WHERE alias_of IS NULL)""",
    "a domain repeats one that is there and repeats none": """
        SELECT key FROM domains
        WHERE alias_of IS NOT NULL AND alias_of NOT IN (SELECT key FROM domains WHERE alias_of IS NULL)""",
    "a postmaster is an account": """
        SELECT key FROM domains WHERE postmaster IS NOT NULL AND postmaster NOT IN (SELECT id FROM accounts)""",
    "no id was given twice": "SELECT id FROM accounts WHERE id IN (SELECT id FROM removed)",
    "no name is both account and alias": """
        SELECT a.id FROM accounts a JOIN aliases b ON a.domain = b.domain AND a.local_key = b.local_key""",
    "ids are positive and have 62 bits": "SELECT id FROM accounts WHERE id NOT BETWEEN 1 AND (1 << 62) - 1",
    "SCRAM keys are all there or none": """
        SELECT id FROM accounts WHERE (salt IS NULL) + (iterations IS NULL) + (stored_key IS NULL)
        + (server_key IS NULL) NOT IN (0, 4) OR (hash IS NULL AND salt IS NOT NULL)""",
    "a hash names its scheme": "SELECT id FROM accounts WHERE hash NOT LIKE '{%}$%'",
    "one default at most, and it repeats none": """
        SELECT count(*) FROM domains WHERE is_default HAVING count(*) > 1 OR count(alias_of) > 0""",
    "a signing key stands in a domain that is there": """
        SELECT selector FROM dkim_keys WHERE domain NOT IN (SELECT key FROM domains)""",
    "a grant is an account's": "SELECT address FROM identities WHERE account NOT IN (SELECT id FROM accounts)",
    "ordinals differ": """
        SELECT ordinal FROM accounts GROUP BY 1 HAVING count(*) > 1
        UNION ALL SELECT ordinal FROM domains GROUP BY 1 HAVING count(*) > 1""",
    "the file is sound": "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
}


def check_directory(path: Path) -> None:
    """Raise AssertionError when the directory file breaks a rule."""
    connection = apsw.Connection(str(path))
    try:
        for rule, statement in _NOTHING.items():
            assert connection.execute(statement).fetchall() == [], rule
        for key, name in connection.execute("SELECT key, name FROM domains").fetchall():
            assert domain_key(str(key)) == key == domain_key(str(name))
        for key, local in connection.execute("SELECT local_key, local FROM accounts").fetchall():
            assert local_key(str(local)) == key
    finally:
        connection.close()
