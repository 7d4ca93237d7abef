"""The names of what the store has in a data folder."""

DATABASE = "posthouse.db"
PACKS = "packs"
LOCK = "write.lock"
