"""The aggregator's commands: serve, log, checkout, what a maintainer decides, and who is invited."""
