"""How a base module is found, read and built: from its spec to open_clip's model."""
