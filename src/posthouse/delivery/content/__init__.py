"""The octets of a message on their way: spooled, converted, signed."""
