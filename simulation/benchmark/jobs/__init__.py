"""The work of a benchmark: artefacts, merges and scores, each computed once and kept."""
