"""How one task at several centres is shown."""
