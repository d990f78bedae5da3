"""Content-addressed files: those that are finished in a directory or in S3, those that are coming on this machine."""
