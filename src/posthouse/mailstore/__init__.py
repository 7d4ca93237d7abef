"""Where mail is kept: the interface, its stores, the packs that hold bytes, the feed of changes."""
