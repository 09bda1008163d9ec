"""Component ``augment``."""
