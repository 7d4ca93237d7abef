"""Reads what was configured, and says where the services are to listen."""
