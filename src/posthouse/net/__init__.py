"""Sockets, once: listeners, TLS, deadlines, the PROXY protocol, and the pump that drives any engine."""
