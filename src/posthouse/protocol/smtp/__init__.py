"""SMTP and LMTP, the server side: RFC 5321, RFC 2033 and the extensions docs/rfc-index.md lists."""
