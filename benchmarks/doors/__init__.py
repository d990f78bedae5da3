"""Compare the doors of a forge with each other, and with federated averaging by Flower's own strategy.

The same branches come in at the forge's own door (gRPC), as replies in Flower's simulation engine, as replies in a
deployment of SuperLink and SuperNodes, and from such nodes at the forge's own door (``deliver="grpc"``). Flower's
FedAvg, unchanged, trains one plugin on the same tasks, splits and recipe: a centre has as many local epochs as its
branch took, one a round, and what is averaged are the factors of one LoRA of the recipe's rank. Every model is scored
on the test split among its task's own prompts and among those of all tasks; rounds are chosen on validation.

Door ``nvflare`` (with ``--nvflare PYTHON``, of an environment of its own) sends the same plugin as often by NVFlare's
FedAvg in its simulator, and says what went over the wire; nobody trains there.

``--faults`` adds what happens when one centre has a tenth of its processor time (stopped and continued), or is killed
while it works, in real processes.

Run from the repository's root: ``python -m benchmarks.doors --out runs/doors --json docs/results/doors.json``.
``python -m benchmarks.doors table FILE`` prints the tables of what was written.
"""

from benchmarks.doors.command import main

__all__ = ["main"]
