"""The merge methods that MedForge brings: one file each, named like its method; nothing else lists them."""
