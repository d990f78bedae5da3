"""Decoded images in memory or on disk."""
