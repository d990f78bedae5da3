"""The steps from each schema of the ledger to the next, as Alembic takes them; one that was released never changes."""
