"""A forge of an earlier version, brought to this one: checked first, kept as it was, and only then changed."""
