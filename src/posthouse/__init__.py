"""Posthouse: a complete mail server in one package."""

__version__ = "0.1.0"
