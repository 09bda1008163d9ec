"""Component ``claim``."""
