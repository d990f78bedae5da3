"""One source at several sites: how its images are divided, and what each site makes of them."""
