"""Who may push: the forge's certificate authority, and the kits that it invites with."""
