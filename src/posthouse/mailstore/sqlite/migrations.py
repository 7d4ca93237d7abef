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
    """
    ALTER TABLE account ADD COLUMN furnished INTEGER NOT NULL DEFAULT 0;   -- 1: the usual mailboxes were made once
    ALTER TABLE mailbox ADD COLUMN modseq INTEGER NOT NULL DEFAULT 0;      -- of the last change in it
    ALTER TABLE mailbox ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mailbox ADD COLUMN unseen INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mailbox ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mailbox ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mailbox ADD COLUMN role TEXT NOT NULL DEFAULT '';
    ALTER TABLE message ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;       -- bits: interface.Flag, then keywords
    ALTER TABLE message ADD COLUMN modseq INTEGER NOT NULL DEFAULT 0;      -- of its last change
    ALTER TABLE message ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;       -- when it came here, seconds since 1970
    ALTER TABLE message ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;      -- message id of what it is a copy of
    CREATE TABLE expunged (             -- for those who were away
        account_id INTEGER NOT NULL,
        modseq INTEGER NOT NULL,
        mailbox_id INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        PRIMARY KEY (account_id, modseq, mailbox_id, uid)
    ) WITHOUT ROWID;
    CREATE TABLE keyword (
        account_id INTEGER NOT NULL,
        bit INTEGER NOT NULL,           -- from 5 on
        name TEXT NOT NULL,
        PRIMARY KEY (account_id, bit)
    ) WITHOUT ROWID;
    CREATE TABLE subscription (
        account_id INTEGER NOT NULL,
        name TEXT NOT NULL,             -- there need be no such mailbox
        PRIMARY KEY (account_id, name)
    ) WITHOUT ROWID;
    INSERT INTO expunged SELECT account_id, modseq, mailbox_id, uid, message_id FROM change WHERE kind = 2;
    UPDATE message SET saved = received, origin = message_id, modseq = coalesce(
        (SELECT modseq FROM account WHERE account.account_id = message.account_id), 0);
    UPDATE mailbox SET modseq = coalesce(
        (SELECT modseq FROM account WHERE account.account_id = mailbox.account_id), 0);
    UPDATE mailbox SET (messages, unseen, octets) = (SELECT count(*), count(*), coalesce(sum(octets), 0) FROM message
        WHERE message.account_id = mailbox.account_id AND message.mailbox_id = mailbox.mailbox_id);
    DROP TABLE change;
    CREATE INDEX message_modseq ON message (account_id, modseq);
    CREATE UNIQUE INDEX mailbox_by_id ON mailbox (account_id, mailbox_id);
    """,
    """
    CREATE TABLE store (                -- one row
        id BLOB NOT NULL,               -- 16 octets, in the head of each pack, too
        generation INTEGER NOT NULL     -- how often a server has started on it
    );
    INSERT INTO store VALUES (randomblob(16), 0);
    ALTER TABLE pack ADD COLUMN headed INTEGER NOT NULL DEFAULT 0;     -- 0: from before packs had heads; only read
    ALTER TABLE account ADD COLUMN log_rows INTEGER NOT NULL DEFAULT 0;  -- its rows in `expunged`
    ALTER TABLE account ADD COLUMN log_start INTEGER NOT NULL DEFAULT 0; -- `expunged` is complete after this modseq
    UPDATE account SET log_rows = (SELECT count(*) FROM expunged WHERE expunged.account_id = account.account_id);
    CREATE INDEX blob_place ON blob (pack, offset);
    ALTER TABLE blob ADD COLUMN place INTEGER;
    -- Where two rows name one place the younger is right; the other one gets a place in no pack, so that it is damage.
    UPDATE blob SET place = CASE WHEN EXISTS (SELECT 1 FROM blob AS other WHERE other.pack = blob.pack
        AND other.offset = blob.offset AND other.blob_id > blob.blob_id) THEN blob_id ELSE pack << 40 | offset END;
    UPDATE message SET blob_id = coalesce((SELECT place FROM blob WHERE blob.blob_id = message.blob_id), blob_id);
    ALTER TABLE blob RENAME TO old_blob;
    DROP INDEX blob_unused;
    CREATE TABLE blob (
        blob_id INTEGER PRIMARY KEY,    -- its place: pack << 40 | offset of the record
        identity INTEGER NOT NULL,      -- of the record, which has it in its header; 0 before there were any
        sha256 BLOB NOT NULL,           -- of the body
        prefixes INTEGER NOT NULL,      -- octets of all prefixes
        octets INTEGER NOT NULL,        -- of the body
        traits INTEGER NOT NULL,
        refs INTEGER NOT NULL,          -- messages that refer to it; once 0, for ever 0
        freed INTEGER,                  -- when refs became 0, seconds since 1970
        pack INTEGER GENERATED ALWAYS AS (blob_id >> 40) VIRTUAL,
        offset INTEGER GENERATED ALWAYS AS (blob_id & 0xffffffffff) VIRTUAL
    );
    INSERT INTO blob SELECT place, 0, sha256, prefixes, octets, traits, refs, freed FROM old_blob ORDER BY place;
    DROP TABLE old_blob;
    UPDATE pack SET live = (SELECT count(*) FROM blob WHERE blob.pack = pack.pack);
    CREATE INDEX blob_unused ON blob (freed) WHERE refs = 0;
    """,
    """
    ALTER TABLE blob RENAME COLUMN sha256 TO digest;    -- of the body; 16 octets: XXH3, 32 octets: SHA-256
    """,
    """
    -- Keywords were bits of message.flags, 57 of an account for ever. Now the bits above the five system flags are the
    -- number of the set of keywords that the message has.
    ALTER TABLE account ADD COLUMN next_keyword_set INTEGER NOT NULL DEFAULT 1;  -- numbers are never given again
    CREATE TABLE keyword_set (          -- a row for each that a message has
        account_id INTEGER NOT NULL,
        set_id INTEGER NOT NULL,
        members TEXT NOT NULL,          -- keyword_ids as a JSON array, ascending
        messages INTEGER NOT NULL,      -- that have it
        PRIMARY KEY (account_id, set_id)
    ) WITHOUT ROWID;
    ALTER TABLE keyword RENAME TO old_keyword;
    CREATE TABLE keyword (
        account_id INTEGER NOT NULL,
        keyword_id INTEGER NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE,
        sets INTEGER NOT NULL,          -- that it is in
        PRIMARY KEY (account_id, keyword_id)
    ) WITHOUT ROWID;
    CREATE TABLE keyword_bits (
        account_id INTEGER NOT NULL,
        bits INTEGER NOT NULL,          -- of message.flags, as they were
        set_id INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        PRIMARY KEY (account_id, bits)
    ) WITHOUT ROWID;
    UPDATE message SET flags = flags & (31 | coalesce(
        (SELECT sum(1 << bit) FROM old_keyword WHERE old_keyword.account_id = message.account_id), 0)) WHERE flags > 31;
    INSERT INTO keyword_bits
        SELECT account_id, bits, row_number() OVER (PARTITION BY account_id ORDER BY bits), messages FROM
        (SELECT account_id, flags & ~31 AS bits, count(*) AS messages FROM message WHERE flags > 31 GROUP BY 1, 2);
    INSERT INTO keyword_set SELECT account_id, set_id, (SELECT json_group_array(bit) FROM (SELECT bit FROM old_keyword
        WHERE old_keyword.account_id = keyword_bits.account_id AND bits & (1 << bit) ORDER BY bit)), messages
        FROM keyword_bits;
    UPDATE message SET flags = (flags & 31) | ((SELECT set_id FROM keyword_bits
        WHERE keyword_bits.account_id = message.account_id AND bits = flags & ~31) << 5) WHERE flags > 31;
    INSERT INTO keyword SELECT account_id, bit, name, sets FROM old_keyword JOIN (SELECT account_id, value AS bit,
        count(*) AS sets FROM keyword_set, json_each(members) GROUP BY 1, 2) USING (account_id, bit);
    UPDATE account SET next_keyword_set = 1 + coalesce(
        (SELECT max(set_id) FROM keyword_set WHERE keyword_set.account_id = account.account_id), 0);
    DROP TABLE keyword_bits;
    DROP TABLE old_keyword;
    CREATE UNIQUE INDEX keyword_by_name ON keyword (account_id, name);
    CREATE UNIQUE INDEX keyword_set_by_members ON keyword_set (account_id, members);
    -- EXPUNGE asks for what is marked, whatever the mailbox holds. A message without \\Deleted costs it nothing.
    CREATE INDEX message_deleted ON message (account_id, mailbox_id, uid) WHERE flags & 8;
    """,
)
