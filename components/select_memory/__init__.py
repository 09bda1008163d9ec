"""Component ``select_memory``."""
