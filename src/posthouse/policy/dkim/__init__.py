"""DKIM (RFC 6376, RFC 8301, RFC 8463): signatures that say who answers for a message."""
