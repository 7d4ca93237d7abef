"""HTTP at the wrong door: a page can make a browser post lines of a mail protocol to a mail server's port."""

VERBS = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE"})
REFUSAL = "this is a mail server, not a web server"
