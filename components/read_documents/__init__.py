"""Component ``read_documents``."""
