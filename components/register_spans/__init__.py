"""Component ``register_spans``."""
