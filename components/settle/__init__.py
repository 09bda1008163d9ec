"""Component ``settle``."""
