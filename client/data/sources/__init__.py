"""The data sets that MedForge reads, one file each."""
