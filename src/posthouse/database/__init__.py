"""Connections, transactions, group commit, leases and migrations. No mail words."""
