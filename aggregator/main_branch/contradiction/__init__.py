"""Branches of one question that contradict each other: who stays, and who is held until the maintainer decides."""
