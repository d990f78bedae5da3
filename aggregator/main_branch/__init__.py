"""The main branch: the one fold, its examination, the thread that folds, and replay."""
