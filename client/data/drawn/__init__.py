"""Images drawn on the spot, for demonstrations and tests: tissue and chest films."""
