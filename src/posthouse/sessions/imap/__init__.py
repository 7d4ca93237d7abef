"""IMAP sessions: what a client knows of a mailbox, and what it asks for."""
