"""How a table of methods is shown."""
