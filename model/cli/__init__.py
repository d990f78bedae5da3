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
)
