"""Tables that say something of images: read whatever their delimiter and encoding, their columns found by name."""
