"""A forge on disk: ledger and blobs together, its settings and policy, admission, retention and checks."""
