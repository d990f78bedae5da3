"""How many tasks in one model are shown."""
