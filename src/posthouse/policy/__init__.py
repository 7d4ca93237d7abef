"""Opinions about a message, without effects: DANE, MTA-STS, DKIM, Authentication-Results."""
