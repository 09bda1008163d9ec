"""Component ``register_extractor``."""
