"""The student: a plugin trained at the aggregator on mixtures of all distilled images, with the plugins as teachers."""
