"""Storage events: what they say about the inbox, and the queue they arrive by."""
