"""What to say when somebody interrupts a centre's work."""

from __future__ import annotations

from medforge.client.saved import spell_saved
from medforge.client.workspace import Workspace


def say_saved(workspace: Workspace) -> str:
    """Say what an interruption leaves in a workspace, and how to go on."""
    training, distillation = workspace.saved_training, workspace.saved_distillation
    kept = [
        "the committed branch" if workspace.committed else "",
        "the trained plugin" if workspace.trained and not workspace.committed else "",
        spell_saved(training) if training else "",
        "the distilled images" if workspace.distilled and not workspace.committed else "",
        spell_saved(distillation) if distillation else "",
    ]
    said = " and ".join(one for one in kept if one)
    if not said:
        return f"nothing is saved in {workspace.path} yet; run the same command again to start anew"
    plural = " and " in said or said.startswith(("the distilled images",)) or (said[0].isdigit() and said[:2] != "1 ")
    return f"{said} {'are' if plural else 'is'} saved in {workspace.path}; run the same command again to go on"
