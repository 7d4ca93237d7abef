"""How TLS for a destination is chosen: DANE, MTA-STS, memory, and what is counted for reports."""
