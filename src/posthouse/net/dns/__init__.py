"""The names of the world: one resolver for everything that asks DNS."""
