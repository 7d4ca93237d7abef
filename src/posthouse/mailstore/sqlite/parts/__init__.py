"""The parts of the store, as in mailstore.interface, over one StoreAccess."""
