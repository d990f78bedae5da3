"""Shadow models: what a plugin says of an image, beside what plugins say that were trained with it and without it."""
