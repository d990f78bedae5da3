"""The numbers of a benchmark, and the statistics over them."""
