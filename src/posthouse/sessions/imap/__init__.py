"""IMAP sessions: what a client has been told of a mailbox, and what it asks for."""
