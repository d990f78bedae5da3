"""How the embedded base `medforge-tiny` is made and scored."""
