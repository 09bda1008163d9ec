"""Component ``consolidate``."""
