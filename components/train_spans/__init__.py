"""Component ``train_spans``."""
