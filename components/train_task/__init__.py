"""Component ``train_task``."""
