"""A centre's commands, from its images to its branch at the forge."""

from medforge.cli.catalogue import CommandEntry

_RENAMED = {"--method": "--distillation", "--set": "--recipe-set"}

COMMANDS = (
    CommandEntry(
        "contribute",
        "Centre",
        "Train, distil, commit, audit and push in one go; run again after any interruption, it goes on.",
        "medforge.client.cli.contribute:contribute",
        _RENAMED,
    ),
    CommandEntry(
        "train",
        "Centre",
        "Train a plugin on the centre's images; goes on where a killed run stopped.",
        "medforge.client.cli.stages:train",
        _RENAMED,
    ),
    CommandEntry(
        "distill",
        "Centre",
        "Learn the distilled dataset that stands in for the images; goes on where a killed run stopped.",
        "medforge.client.cli.stages:distill",
        _RENAMED,
    ),
    CommandEntry(
        "commit",
        "Centre",
        "Put plugin, distilled dataset and class statistics together as a branch.",
        "medforge.client.cli.stages:commit",
    ),
    CommandEntry(
        "audit",
        "Centre",
        "Judge whether the committed branch may leave the house; ends with 1 where it may not.",
        "medforge.client.cli.audit:audit",
    ),
    CommandEntry(
        "push",
        "Centre",
        "Push the audited branch to a forge; retries, resumes, and is harmless when repeated.",
        "medforge.client.cli.push:push",
    ),
    CommandEntry(
        "request",
        "Centre",
        "Make the keys of a kit here, where they stay, and the request that you send to whoever runs the forge.",
        "medforge.client.cli.request:request",
    ),
    CommandEntry(
        "encrypt-keys",
        "Centre",
        "Encrypt the private keys of a kit, or of a forge, with a passphrase.",
        "medforge.client.cli.encrypt_keys:encrypt_keys",
    ),
    CommandEntry(
        "verify",
        "Centre",
        "Verify a receipt without a network: that a forge's key signed exactly this.",
        "medforge.client.cli.verify:verify",
    ),
    CommandEntry(
        "status",
        "Centre",
        "Show which stages are done; with --kit or --at also what the forge made of the branch.",
        "medforge.client.cli.status:status",
    ),
    CommandEntry(
        "review",
        "Centre",
        "Run the commit that the forge asks about on your own validation images, and send counts of what was right.",
        "medforge.client.cli.review:review",
    ),
    CommandEntry(
        "check",
        "Centre",
        "Read every image of a data set and say all that is wrong with it, and what is worth knowing.",
        "medforge.client.cli.check:check",
    ),
    CommandEntry(
        "doctor",
        "Centre",
        "See whether everything between this centre and its forge is in order, and how to mend what is not.",
        "medforge.client.cli.doctor:doctor",
    ),
    CommandEntry(
        "sources",
        "Centre",
        "List the data sources, also those of installed packages, with their options.",
        "medforge.client.cli.sources:sources",
    ),
    CommandEntry(
        "evaluate",
        "Model",
        "Score a workspace's plugin, or a merged model, on one split of a task.",
        "medforge.client.cli.evaluate:evaluate",
    ),
)
