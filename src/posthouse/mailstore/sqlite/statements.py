"""Statements that several modules of the store use."""

from posthouse.mailstore.sqlite.rows import Insert

INSERT_MESSAGES = Insert(
    "INSERT INTO message"
    " (account_id, mailbox_id, message_id, uid, blob_id, prefix_back, prefix_octets, octets, received,"
    " flags, modseq, saved, origin)",
    13,
)
# account, messages, octets; gives the account's modseq and the first of the message ids
ADD_TO_ACCOUNT = """
    UPDATE account SET modseq = modseq + 1, next_message = next_message + ?2, messages = messages + ?2,
    octets = octets + ?3 WHERE account_id = ?1 RETURNING modseq, next_message - ?2
"""
# account, mailbox, messages, modseq, unseen, deleted, octets; gives the first of the uids
ADD_TO_MAILBOX = """
    UPDATE mailbox SET uidnext = uidnext + ?3, modseq = ?4, messages = messages + ?3, unseen = unseen + ?5,
    deleted = deleted + ?6, octets = octets + ?7 WHERE account_id = ?1 AND mailbox_id = ?2 RETURNING uidnext - ?3
"""
