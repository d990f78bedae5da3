"""The egress gate at a centre: what may leave the house, measured, judged, shown and recorded."""
