"""The queue's tables in posthouse.db, version by version.

What is asked often has an index: what is free by destination, and what is claimed by whom. What people ask (whose,
to whom) reads the table: it holds one week.

A row of `destination_due` is never later than the first free recipient of its destination: triggers see to it whatever
frees a recipient, and a claim puts right what has become too early. So what is due is found by destination, and a
destination that is left out costs one row, however many wait for it.
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
    """
    ALTER TABLE queued ADD COLUMN hold_until INTEGER NOT NULL DEFAULT 0;  -- not before this time (RFC 4865); 0: at once
    UPDATE queued SET hold_until = coalesce((
        SELECT max(due) FROM queued_recipient r
        WHERE r.number = queued.number AND r.state = 0 AND r.attempts = 0 AND r.due > queued.created
    ), 0) WHERE waiting > 0;
    ALTER TABLE queued_recipient ADD COLUMN written INTEGER NOT NULL DEFAULT 0;  -- what the clock said as `due` was set
    UPDATE queued_recipient SET claim = 0, written = coalesce(
        (SELECT max(at) FROM attempt a WHERE a.number = queued_recipient.number AND a.n = queued_recipient.n),
        (SELECT created FROM queued q WHERE q.number = queued_recipient.number),
        0
    ) WHERE state = 0;
    DROP TABLE claimer;
    CREATE TABLE claimer (              -- a sending process
        token INTEGER PRIMARY KEY,
        beat INTEGER NOT NULL,          -- grows while it lives; who sees it stand still for a lease ends its claims
        orders INTEGER NOT NULL         -- grows when an operator has changed what it may hold
    );
    DROP INDEX queued_due;
    CREATE INDEX queued_free ON queued_recipient (destination, due) WHERE state = 0 AND held = 0 AND claim = 0;
    CREATE INDEX queued_claimed ON queued_recipient (claim) WHERE claim <> 0;
    CREATE TABLE destination_due (destination TEXT PRIMARY KEY, due INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX destination_due_first ON destination_due (due);
    INSERT INTO destination_due
        SELECT destination, min(due) FROM queued_recipient WHERE state = 0 AND held = 0 GROUP BY destination;
    CREATE TRIGGER queued_recipient_new AFTER INSERT ON queued_recipient
    WHEN NEW.state = 0 AND NEW.held = 0 AND NEW.claim = 0 BEGIN
        INSERT INTO destination_due VALUES (NEW.destination, NEW.due)
            ON CONFLICT (destination) DO UPDATE SET due = excluded.due WHERE excluded.due < due;
    END;
    CREATE TRIGGER queued_recipient_free AFTER UPDATE OF due, state, held, claim ON queued_recipient
    WHEN NEW.state = 0 AND NEW.held = 0 AND NEW.claim = 0 BEGIN
        INSERT INTO destination_due VALUES (NEW.destination, NEW.due)
            ON CONFLICT (destination) DO UPDATE SET due = excluded.due WHERE excluded.due < due;
    END;
    """,
    """
    -- From a clock that does not step to the one that `created` and `expires` are by: how old a message is does not
    -- depend on what the clock was set to meanwhile.
    ALTER TABLE queued ADD COLUMN clock_offset INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE queue_boot (id TEXT NOT NULL);  -- of the system: that clock begins anew with it
    """,
)
