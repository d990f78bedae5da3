"""Push a saved branch from a network of its own: `python -m tests.e2e.pushing BRANCH KIT`; prints the receipt."""

import sys
from pathlib import Path

from medforge.client.push import Patience, push
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit

if __name__ == "__main__":
    branch, kit = Path(sys.argv[1]), Kit.load(Path(sys.argv[2]))
    receipt = branch.with_name("receipt.json")
    patience = Patience(minutes=2, silence=30, first_pause=0.2, longest_pause=1)
    push(
        branch,
        Connection(kit.card.address, kit),
        receipt,
        patience=patience,
        on_wait=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    )
    print(receipt.read_text())
