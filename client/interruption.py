"""What to say when somebody interrupts a centre's work."""

from __future__ import annotations

from medforge.client.saved import spell_saved
from medforge.client.workspace import Workspace


def say_saved(workspace: Workspace) -> str:
    """Say what an interruption leaves in a workspace, and how to go on."""
    if not workspace.exists:
        return f"nothing is saved in {workspace.path} yet; run the same command again to start anew"
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
    return f"saved in {workspace.path}: {said}; run the same command again to go on"
