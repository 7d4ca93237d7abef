"""One file per protocol: answers the events of its engine with what the rooms below know."""
