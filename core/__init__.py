"""MedForge: hospitals build one medical foundation model the way open-source software is built."""

__version__ = "0.1.0"
