"""Adapters that were made elsewhere."""
