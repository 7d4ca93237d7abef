"""Configuration, the one place where objects are built, the command line, lifecycle, logs."""
