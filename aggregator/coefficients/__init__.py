"""Coefficients of a merge: the objective on distilled data, and the searches that minimise it."""
