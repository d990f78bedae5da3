"""Differential privacy: what a branch spends of (ε, δ), and the noise that pays for it."""
