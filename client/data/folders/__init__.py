"""Trees of folders that say something of the images in them: class, split, patient."""
