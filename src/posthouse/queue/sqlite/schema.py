"""The queue's tables in posthouse.db, version by version.

What is asked often has an index: what is due. What people ask (whose, to whom) reads the table: it holds one week.
"""

ROOM = "queue"  # under which the version of these tables is kept

MIGRATIONS = (
    """
    CREATE TABLE queued (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,               -- of the envelope, 16 bytes
        body INTEGER NOT NULL,          -- message id in the mailstore's account 0; 0 once all are settled
        octets INTEGER NOT NULL,
        sender TEXT NOT NULL,           -- reverse-path as str(Address) writes it; '' is <>
        options TEXT NOT NULL,          -- parameters of MAIL FROM, as JSON: body, smtputf8, ret, envid
        account INTEGER,                -- of the user who submitted or forwards it
        message_id TEXT NOT NULL,       -- of its header, without the angle brackets
        created INTEGER NOT NULL,       -- seconds since 1970, as all times here
        expires INTEGER NOT NULL,
        waiting INTEGER NOT NULL,       -- recipients not yet settled
        settled INTEGER                 -- when the last one was
    );
    CREATE INDEX queued_settled ON queued (settled) WHERE settled IS NOT NULL;
    CREATE TABLE queued_recipient (
        number INTEGER NOT NULL,
        n INTEGER NOT NULL,
        address TEXT NOT NULL,
        notify TEXT NOT NULL,           -- DSN NOTIFY, comma separated
        orcpt TEXT NOT NULL,
        destination TEXT NOT NULL,      -- domain key, or name of a route
        due INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        state INTEGER NOT NULL,         -- queue.interface.State
        held INTEGER NOT NULL,
        warned INTEGER NOT NULL,        -- the sender was told of the delay
        claim INTEGER NOT NULL,         -- token of a claimer; 0: nobody's
        finished INTEGER,
        PRIMARY KEY (number, n)
    ) WITHOUT ROWID;
    CREATE INDEX queued_due ON queued_recipient (due) WHERE state = 0 AND held = 0;
    CREATE TABLE attempt (
        number INTEGER NOT NULL,
        n INTEGER NOT NULL,
        at INTEGER NOT NULL,
        code INTEGER NOT NULL,
        reply TEXT NOT NULL,            -- enhanced status and text
        host TEXT NOT NULL,
        ip TEXT NOT NULL,
        tls TEXT NOT NULL
    );
    CREATE INDEX attempt_of ON attempt (number, n);
    CREATE TABLE claimer (              -- a sending process; its claims hold as long as its lease does
        token INTEGER PRIMARY KEY,
        expires INTEGER NOT NULL
    );
    """,
)
