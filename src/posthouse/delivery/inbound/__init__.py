"""What comes in: received, prepared, and put where it belongs."""
