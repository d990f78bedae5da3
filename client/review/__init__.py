"""Reviewing: how a commit of a forge does on a site's own validation images."""
