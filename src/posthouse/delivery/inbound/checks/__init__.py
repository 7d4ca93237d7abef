"""What may refuse or change a message on its way in: one check a file, named in wiring.py."""
