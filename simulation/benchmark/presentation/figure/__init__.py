"""How the planes of real and distilled images are shown."""
