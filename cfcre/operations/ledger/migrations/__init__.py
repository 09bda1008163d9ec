"""Revisions of the ledger's schema, applied by :mod:`cfcre.operations.ledger.migrate`.

A revision is one file in ``versions``. It never changes once it is released, and it names tables
and columns itself instead of importing them from :mod:`cfcre.operations.ledger.tables`, which
moves on. Revisions only go forward: the way back is a backup.
"""
