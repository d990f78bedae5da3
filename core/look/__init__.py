"""One look for every page and chart that MedForge writes."""
