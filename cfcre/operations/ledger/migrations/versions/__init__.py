"""One module a revision, in the order that ``down_revision`` gives."""
