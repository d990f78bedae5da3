"""What packages import that bring merge methods or data sources: as stable as the public API.

`medforge.extension.methods` and `medforge.extension.sources` stand above the rooms, whose files may move; nothing of
ours imports them. They are described in docs/reference-api.md.
"""
