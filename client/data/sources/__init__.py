"""The data sources that MedForge brings: one file each, named like its source; nothing else lists them."""
