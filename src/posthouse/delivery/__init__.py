"""The pipeline of a message: the spool, incoming, the router, the couriers."""
