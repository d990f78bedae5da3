"""A forge as people look at it: pages that are written into a directory, or served live; both only read."""
