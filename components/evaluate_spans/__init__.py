"""Component ``evaluate_spans``."""
