"""How accuracy and attacks against ε are shown."""
