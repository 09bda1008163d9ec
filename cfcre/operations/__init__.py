"""Ledger, reconciler, gate, promotion, and the stages of the pipeline."""
