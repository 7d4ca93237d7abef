"""Outgoing mail that survives a crash: put, claim, record, reschedule, expire."""
