"""The aggregator's commands: the merged model for everybody, the forge for its maintainer."""

from medforge.cli.catalogue import CommandEntry

COMMANDS = (
    CommandEntry(
        "withdraw",
        "Centre",
        "Take a branch out of the main branch, exactly as if it had never come.",
        "medforge.aggregator.cli.withdraw:withdraw",
    ),
    CommandEntry(
        "checkout",
        "Model",
        "Write the merged model of a commit into a directory that needs nothing else but the base module.",
        "medforge.aggregator.cli.checkout:checkout",
    ),
    CommandEntry(
        "show",
        "Model",
        "Show a commit: what came or left, its members, how they were merged, every task's score before and after.",
        "medforge.aggregator.cli.show:show",
    ),
    CommandEntry(
        "diff",
        "Model",
        "Compare two commits: tasks, members, classes, scores, and how far the weights moved layer by layer.",
        "medforge.aggregator.cli.diff:diff",
    ),
    CommandEntry(
        "blame",
        "Model",
        "List the branches that answer a task, with what each counts, and those that do not.",
        "medforge.aggregator.cli.blame:blame",
    ),
    CommandEntry(
        "methods",
        "Model",
        "List the merge methods, also those of installed packages.",
        "medforge.aggregator.cli.methods:methods",
    ),
    CommandEntry(
        "serve",
        "Maintainer",
        "Receive branches, and fold each into the main branch in the order of arrival.",
        "medforge.aggregator.cli.serve:serve",
        {"--method": "--merge", "--set": "--policy"},
    ),
    CommandEntry(
        "health",
        "Maintainer",
        "Ask a forge that serves whether it is ready for calls; ends with 1 where it is not.",
        "medforge.aggregator.cli.health:health",
    ),
    CommandEntry(
        "invite", "Maintainer", "Make a contributor's startup kit.", "medforge.aggregator.cli.identity:invite"
    ),
    CommandEntry(
        "revoke",
        "Maintainer",
        "Take a contributor's invitation back; a running server refuses them from the next call on.",
        "medforge.aggregator.cli.identity:revoke",
    ),
    CommandEntry(
        "backup",
        "Maintainer",
        "Write a forge into one encrypted file: ledger, blobs, keys, settings and policy; read it back and check it.",
        "medforge.aggregator.cli.backup:backup",
    ),
    CommandEntry(
        "backup-key",
        "Maintainer",
        "Make a key for backups, as `age-keygen` does: who has only its public half can write backups, and read none.",
        "medforge.aggregator.cli.backup:backup_key",
    ),
    CommandEntry(
        "restore",
        "Maintainer",
        "Bring a forge back from a backup, into a new directory; what came after the backup, centres push again.",
        "medforge.aggregator.cli.backup:restore",
    ),
    CommandEntry(
        "upgrade",
        "Maintainer",
        "Bring a forge of an earlier version to this one; `medforge serve` does it too, at its start.",
        "medforge.aggregator.cli.upgrade:upgrade",
    ),
    CommandEntry(
        "rotate-key",
        "Maintainer",
        "Give the forge another key for receipts, tasks and tags, signed by the old one; the forge must not be served.",
        "medforge.aggregator.cli.rotate_key:rotate_key",
    ),
    CommandEntry(
        "rotate-ca",
        "Maintainer",
        "Give the forge another CA for its kits, signed by the old one; both are trusted for a while.",
        "medforge.aggregator.cli.rotate_ca:rotate_ca",
    ),
    CommandEntry(
        "contributors",
        "Maintainer",
        "List who was invited, until when their kits are good, and whose invitation was taken back.",
        "medforge.aggregator.cli.identity:contributors",
    ),
    CommandEntry(
        "task",
        "Maintainer",
        "Declare what a forge asks: tasks, each with its classes and their prompts.",
        commands=(
            CommandEntry(
                "add",
                "Maintainer",
                "Declare a task: its name, its classes with their prompts, and what the images are.",
                "medforge.aggregator.cli.task:add",
            ),
            CommandEntry("list", "Maintainer", "List the declared tasks.", "medforge.aggregator.cli.task:list_tasks"),
            CommandEntry(
                "show",
                "Maintainer",
                "Show a declared task; with --json as the signed file that a centre can be given.",
                "medforge.aggregator.cli.task:show",
            ),
        ),
    ),
    CommandEntry(
        "log",
        "Maintainer",
        "List the newest commits of a main branch, then the arrivals that are not in it.",
        "medforge.aggregator.cli.log:log",
    ),
    CommandEntry(
        "page",
        "Maintainer",
        "Write pages about a forge, to look at in a browser without a server or a network.",
        "medforge.aggregator.cli.page:page",
    ),
    CommandEntry(
        "tag",
        "Maintainer",
        "Give a commit a name, signed and for good; --list lists the names.",
        "medforge.aggregator.cli.tag:tag",
    ),
    CommandEntry(
        "release",
        "Maintainer",
        "Recommend a commit under a name, signed and for good.",
        "medforge.aggregator.cli.tag:release",
    ),
    CommandEntry(
        "accept",
        "Maintainer",
        "Fold a held or rejected branch all the same.",
        "medforge.aggregator.cli.maintain:accept",
    ),
    CommandEntry(
        "reject",
        "Maintainer",
        "Keep a branch out of the main branch, also one that is in it.",
        "medforge.aggregator.cli.maintain:reject",
    ),
    CommandEntry(
        "revert",
        "Maintainer",
        "Undo one round: who came with the commit leaves again, who left with it comes back.",
        "medforge.aggregator.cli.maintain:revert",
    ),
    CommandEntry(
        "replay",
        "Maintainer",
        "Rebuild the main branch from the ledger, and prove every commit's forge item.",
        "medforge.aggregator.cli.maintain:replay",
    ),
    CommandEntry(
        "fsck",
        "Maintainer",
        "Check blobs, digests, signatures and both chains of a forge; changes nothing.",
        "medforge.aggregator.cli.maintain:fsck",
    ),
)
