"""The main branch: ledger, blobs, merge methods, strategies and the gRPC service."""
