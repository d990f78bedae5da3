"""What a data set's images are like, seen once before any work: their bytes, sizes, copies and look-alikes."""
