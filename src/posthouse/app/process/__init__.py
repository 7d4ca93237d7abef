"""The processes of a server, parent and workers: ports, rights, signals, logs; and the objects they are made of."""
