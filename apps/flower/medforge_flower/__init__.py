"""MedForge as a Flower app."""
