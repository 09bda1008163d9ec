"""Relation examples, their splits and files, tokenisation and batching."""
