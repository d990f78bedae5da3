"""What stands between a centre and its forge: each check says what it found and how to mend it."""
