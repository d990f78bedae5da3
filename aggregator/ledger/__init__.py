"""The ledger: arrivals, commits, contributors and the journal, in a database."""
