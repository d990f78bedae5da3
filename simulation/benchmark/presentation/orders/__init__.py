"""How order robustness is shown."""
