"""Send poisoned branches to main branches of honest sites: what is stopped, by what, and what the rest does to others.

Every task has several centres (``--divide``); the last is the attacker's, the others are honest. The attacker has its
training images of every task, which no other has, and whatever is public. Each attack is sent under three conditions:

- no checks: whatever has the form and size of a branch is merged;
- admission: a forge with a new forge's policy, its tasks declared, every check of arrivals and merges on;
- reviews: the same forge, and the honest sites review every commit on their validation images.

Harm is what a task loses in accuracy on real test images of the honest sites, asked by task or among all prompts,
whichever loses more, of the task that loses most; scored is what people use, `stable`. Nothing is chosen by test
images.

Artefacts are those of ``medforge benchmark`` with the same options; what is missing in ``--out`` is made.

Run from the repository's root: ``python -m benchmarks.poisoning --out runs/poisoning --centre NAME=SOURCE …
--divide NAME=4:iid … [--seeds 0,1,2] [--victim TASK] [--methods routed,gated,joint,sequential,fusion] [--json OUT]``.
``python -m benchmarks.poisoning table OUT …`` lays out what was written.
"""

from benchmarks.poisoning.attack import Attack
from benchmarks.poisoning.command import main
from benchmarks.poisoning.trial import CONDITIONS

__all__ = ["CONDITIONS", "Attack", "main"]
