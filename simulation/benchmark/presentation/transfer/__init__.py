"""How training on new tasks is shown."""
