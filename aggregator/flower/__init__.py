"""Flower's door to the main branch: a strategy that folds replies as arrivals, and rounds without a fixed size."""
