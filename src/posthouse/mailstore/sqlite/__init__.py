"""The mailstore on one machine: rows in SQLite, bytes in packs. SQL stands in this folder only."""
