"""Sans-io engines: bytes in, events out, answers in, bytes out. No engine knows a socket."""
