"""A forge in one encrypted file, and back out of it."""
