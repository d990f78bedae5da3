"""The classes of a network's tasks, as text and as the tokens that its text tower takes."""

from __future__ import annotations

import json
from pathlib import Path

from medforge.model.network import Network
from medforge.ranking import NamedClasses

PROMPTS_FILE = "prompts.json"


def write_prompts(network: Network, directory: Path) -> None:
    """Write every task's classes, in their order: their keys, prompts and tokens; nothing where no task is known.

    The tokens are there so that nobody needs the base's tokenizer, which may be MedForge's own.
    """
    if not network.tasks:
        return
    document = {}
    for task in network.tasks:
        prompts = [one.prompt for one in task.classes]
        tokens = network.base.tokenizer(prompts).tolist()
        document[task.name] = {"classes": [one.key for one in task.classes], "prompts": prompts, "tokens": tokens}
    (directory / PROMPTS_FILE).write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def tokens_of(task: NamedClasses) -> str:
    """Return the Python expression that reads a task's tokens [C, length] as a tensor."""
    return f'torch.tensor(json.load(open("{PROMPTS_FILE}"))["{task.name}"]["tokens"])'


def asking_lines(network: Network) -> str:
    """Return the Python lines that ask ``model``, one of open_clip's own with its ``preprocess``, about an image."""
    image = 'preprocess(Image.open("image.png"))[None]'
    if not network.tasks:
        return f"print(model.encode_image({image}))"
    return f"tokens = {tokens_of(network.tasks[0])}\nprint(model.get_logits({image}, tokens)[0].softmax(dim=1))"
