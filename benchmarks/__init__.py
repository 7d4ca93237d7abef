"""`make bench`: how fast Posthouse does its main jobs, alone or side by side with another mail server."""
