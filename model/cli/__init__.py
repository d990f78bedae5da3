"""The commands of whoever uses a merged model."""

from medforge.cli.catalogue import CommandEntry

COMMANDS: tuple[CommandEntry, ...] = (
    CommandEntry(
        "merge",
        "Model",
        "Merge branches or plugins that lie in directories; the same bytes as a forge makes of the same branches.",
        "medforge.model.cli.merge:merge",
    ),
    CommandEntry(
        "predict",
        "Model",
        "Say of images which task and class they are likeliest to be, or that they are none of these.",
        "medforge.model.cli.predict:predict",
    ),
    CommandEntry(
        "export",
        "Model",
        "Write a merged model, or one task's expert, for a library that knows nothing of MedForge.",
        "medforge.model.cli.export:export",
    ),
    CommandEntry(
        "import",
        "Model",
        "Read a PEFT adapter that was trained elsewhere as a plugin, with the same weight change.",
        "medforge.model.cli.import_adapter:import_adapter",
    ),
    CommandEntry(
        "base",
        "Model",
        "Base modules: what a spec would run, and a copy for a machine without internet.",
        commands=(
            CommandEntry(
                "show",
                "Model",
                "Say what a base module's spec would run, and whether all of it is on this machine.",
                "medforge.model.cli.base:show",
            ),
            CommandEntry(
                "fetch",
                "Model",
                "Write all that a base module needs into a directory, for a machine without internet.",
                "medforge.model.cli.base:fetch",
            ),
        ),
    ),
)
