"""The tables of directory.db, version by version."""

from posthouse.database.identity import TABLE

MIGRATIONS = (
    """
    CREATE TABLE domains (
        key TEXT PRIMARY KEY,         -- A-labels, lower case
        name TEXT NOT NULL,           -- U-labels
        ordinal INTEGER NOT NULL,     -- ascends with age
        is_default INTEGER NOT NULL,  -- 1 for at most one
        postmaster INTEGER,           -- account id
        alias_of TEXT                 -- key of the domain it repeats
    ) WITHOUT ROWID;
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY,
        domain TEXT NOT NULL,
        local_key TEXT NOT NULL,      -- NFC, case folded
        local TEXT NOT NULL,          -- as given
        ordinal INTEGER NOT NULL,
        quota INTEGER,                -- octets
        created INTEGER NOT NULL,     -- seconds since 1970
        generation INTEGER NOT NULL,  -- ascends with every change of the password, not with its renewal
        hash TEXT,                    -- {SCHEME}...
        salt BLOB, iterations INTEGER, stored_key BLOB, server_key BLOB,  -- SCRAM-SHA-256, all or none
        UNIQUE (domain, local_key)
    );
    CREATE INDEX accounts_by_age ON accounts (domain, ordinal);
    CREATE INDEX accounts_by_ordinal ON accounts (ordinal);
    CREATE TABLE aliases (
        domain TEXT NOT NULL,
        local_key TEXT NOT NULL,      -- "*": the catch-all
        target_domain TEXT NOT NULL,  -- key
        target_key TEXT NOT NULL,
        local TEXT NOT NULL,          -- as given
        target_local TEXT NOT NULL,   -- as given
        target_name TEXT NOT NULL,    -- U-labels
        PRIMARY KEY (domain, local_key, target_domain, target_key)
    ) WITHOUT ROWID;
    CREATE INDEX aliases_by_target ON aliases (target_domain, target_key);
    CREATE TABLE removed (            -- for ever: no account id is given twice
        id INTEGER PRIMARY KEY,
        address TEXT NOT NULL,
        removed INTEGER NOT NULL,
        purged INTEGER                -- when its mail was forgotten
    );
    CREATE INDEX removed_unpurged ON removed (id) WHERE purged IS NULL;
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    INSERT INTO secrets VALUES ('unknown logins', randomblob(32));
    """,
    """
    CREATE TABLE dkim_keys (
        domain TEXT NOT NULL,         -- key of a domain
        selector TEXT NOT NULL,
        algorithm TEXT NOT NULL,      -- rsa-sha256, ed25519-sha256
        private BLOB NOT NULL,        -- PKCS #8, DER
        created INTEGER NOT NULL,
        PRIMARY KEY (domain, selector)
    ) WITHOUT ROWID;
    CREATE TABLE identities (         -- addresses an account may send as, beside its own
        account INTEGER NOT NULL,
        domain TEXT NOT NULL,         -- A-labels, lower case; need not be served here
        local_key TEXT NOT NULL,      -- "*": every address of the domain
        address TEXT NOT NULL,        -- as given
        PRIMARY KEY (account, domain, local_key)
    ) WITHOUT ROWID;
    ALTER TABLE accounts ADD COLUMN day_messages INTEGER;    -- NULL: the server's default
    ALTER TABLE accounts ADD COLUMN day_recipients INTEGER;  -- new recipients a day; NULL: the server's default
    ALTER TABLE accounts ADD COLUMN sent_copy INTEGER;       -- NULL: the server's default
    INSERT INTO secrets VALUES ('srs', randomblob(32));
    """,
    f"""
    {TABLE};                          -- which data folder it belongs to
    """,
)
