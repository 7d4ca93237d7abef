"""IMAP4rev1 and rev2 as a sans-io engine (RFC 3501, RFC 9051): grammar, states, answers."""
