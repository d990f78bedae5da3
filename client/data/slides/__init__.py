"""Whole slides: opened at a stated resolution, cut into tiles of tissue."""
