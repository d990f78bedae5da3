"""Painters of the images that demonstrations and tests draw on the spot: tissue and chest films."""
