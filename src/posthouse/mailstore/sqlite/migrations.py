"""The tables of posthouse.db, version by version.

Rows of one account start with its id, so that they lie together and could live elsewhere together. The counters of an
account and of a mailbox change in the transaction that uses them: what a reader sees ascends.
"""

MIGRATIONS = (
    """
    CREATE TABLE account (              -- stays when the account is forgotten: its numbers are never given again
        account_id INTEGER PRIMARY KEY,
        modseq INTEGER NOT NULL,        -- of the last change
        next_message INTEGER NOT NULL,
        next_mailbox INTEGER NOT NULL,
        uidvalidity INTEGER NOT NULL,   -- the highest given to a mailbox
        messages INTEGER NOT NULL,
        octets INTEGER NOT NULL         -- prefixes and bodies
    );
    CREATE TABLE mailbox (
        account_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        mailbox_id INTEGER NOT NULL,
        uidvalidity INTEGER NOT NULL,
        uidnext INTEGER NOT NULL,
        PRIMARY KEY (account_id, name)
    ) WITHOUT ROWID;
    CREATE TABLE message (
        account_id INTEGER NOT NULL,
        mailbox_id INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        blob_id INTEGER NOT NULL,
        prefix_back INTEGER NOT NULL,   -- octets from the start of its prefix to the start of the body
        prefix_octets INTEGER NOT NULL,
        octets INTEGER NOT NULL,        -- prefix and body
        received INTEGER NOT NULL,      -- seconds since 1970
        PRIMARY KEY (account_id, mailbox_id, message_id)
    ) WITHOUT ROWID;
    CREATE TABLE change (
        account_id INTEGER NOT NULL,
        modseq INTEGER NOT NULL,
        mailbox_id INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        kind INTEGER NOT NULL,          -- 1 added, 2 expunged
        PRIMARY KEY (account_id, modseq)
    ) WITHOUT ROWID;
    CREATE TABLE delivery (             -- by delivery first: the ids ascend in time, so that old ones are at the start
        delivery BLOB NOT NULL,
        account_id INTEGER NOT NULL,
        mailbox_id INTEGER NOT NULL,
        PRIMARY KEY (delivery, account_id, mailbox_id)
    ) WITHOUT ROWID;
    CREATE TABLE blob (
        blob_id INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL,           -- of the body
        pack INTEGER NOT NULL,
        offset INTEGER NOT NULL,        -- of the record
        prefixes INTEGER NOT NULL,      -- octets of all prefixes
        octets INTEGER NOT NULL,        -- of the body
        traits INTEGER NOT NULL,
        refs INTEGER NOT NULL,          -- messages that refer to it; once 0, for ever 0
        freed INTEGER                   -- when refs became 0, seconds since 1970
    );
    CREATE INDEX blob_unused ON blob (freed) WHERE refs = 0;
    CREATE TABLE pack (
        pack INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
        end INTEGER NOT NULL,           -- what stands behind was never acknowledged
        live INTEGER NOT NULL,          -- rows of blob that refer to it
        opened INTEGER NOT NULL         -- how often a process has taken it up to append to it
    );
    """,
)
