"""Speed and quality against plain implementations, printed as ratios."""
