"""Heads in closed form: classifiers of embeddings that need sums over images, and no image; pure functions."""
