"""Opinions about a message, without effects: a Verdict is all that comes out."""
