"""Dataset distillation at a centre: a few learned images per class stand in for the private ones."""
