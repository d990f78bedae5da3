"""The merge methods that MedForge brings, one file each."""
