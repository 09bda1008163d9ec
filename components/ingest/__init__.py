"""Component ``ingest``."""
