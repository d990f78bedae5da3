"""A small real forge in which everything has happened that pages show, and whose contributors write hostile things."""

from dataclasses import dataclass, replace
from pathlib import Path

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.declaring import declare
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.main_branch.examination import BranchHeld
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.contributor_name import ContributorName
from medforge.declared_task import DeclaredTask
from medforge.plugin import Plugin
from tests.aggregator.centres import branch_of, exchanged, patterns, trained_on

HOSTILE_NAME = "<img src=x onerror=alert(1)> & Söhne"
HOSTILE_PROMPTS = ("</script><script>alert(2)</script>", '"onmouseover="alert(3)', "reverse {{ 7 * 7 }}")
HOSTILE_KEYS = ("<b>bold</b>", "' onfocus='alert(4)", "javascript:alert(5)")
HOSTILE_REASON = "]]></svg><svg onload=alert(6)>\u2028 \\u003cscript\\u003e \u202eesrever\u202c"
HOSTILE_NOTES = "<u>reviewed</u>\nby &three; sites"
COLOGNE = ContributorName("koeln", "Universitätsklinikum Köln")
HOSTILE = ContributorName("img", HOSTILE_NAME)


@dataclass(frozen=True)
class ShownForge:
    """Hold where the forge is, and the arrival number of each branch by what became of it."""

    directory: Path
    numbers: dict[str, int]


def build_forge(directory: Path, base: BaseModule) -> ShownForge:
    """Make the forge: seven tasks' worth of branches, folded, replaced, held, kept out and withdrawn."""
    forge = Forge.establish(directory, base, choose_settings())
    try:
        main = MainBranch(forge, base)
        return ShownForge(directory, _fill(main))
    finally:
        forge.close()


def _fill(main: MainBranch) -> dict[str, int]:
    forge, base = main.forge, main.base
    table = TaskTable(forge.ledger)
    forge.policy = forge.policy.model_copy(update={"tasks": forge.policy.tasks.model_copy(update={"open": False})})
    lung, colon = (_task(task, patterns(base, task).prompts) for task in ("lung", "colon"))
    hostile = DeclaredTask.make("odd", list(zip(HOSTILE_KEYS, HOSTILE_PROMPTS, strict=True)), "<i>nothing</i>")
    for task in (lung, colon, hostile):
        declare(table, task, base)
    numbers = {
        "replaced": _send(main, _honest(base, "lung", COLOGNE)),
        "withdrawn": _send(main, _honest(base, "colon", ContributorName("south"))),
        "folded": _send(main, _honest(base, "lung", ContributorName("north"), seed=1)),
        "newest": _send(main, _honest(base, "lung", COLOGNE, seed=2)),
        "hostile": _send(main, _hostile(base)),
    }
    tag_commit(forge, "v1.0", None, release=True, notes=HOSTILE_NOTES)
    numbers |= {
        "held": _send(main, _exchanged(base)),
        "undeclared": _send(main, _honest(base, "skin", ContributorName("east"))),
        "kept out": _send(main, _honest(base, "colon", ContributorName("west"), seed=1)),
    }
    maintenance.withdraw(forge, str(numbers["withdrawn"]), "", erase=True)
    maintenance.reject(forge, str(numbers["kept out"]), HOSTILE_REASON)
    main.settle()
    return numbers


def _send(main: MainBranch, branch: Branch) -> int:
    number = main.forge.admit(branch, main.base).number
    try:
        main.fold(number)
    except BranchHeld as error:
        main.forge.ledger.hold(number, str(error))
    return number


def _task(name: str, prompts: tuple[str, ...]) -> DeclaredTask:
    return DeclaredTask.make(name, [(prompt.split()[0], prompt) for prompt in prompts], "histology")


def _honest(base: BaseModule, task: str, contributor: ContributorName, seed: int = 0) -> Branch:
    dataset = patterns(base, task, seed=seed, known=True)
    return _named(branch_of(base, trained_on(base, dataset, seed=seed), dataset, task), base, contributor)


def _exchanged(base: BaseModule) -> Branch:
    dataset = exchanged(patterns(base, "lung", seed=4, known=True))
    plugin = trained_on(base, dataset, seed=4)
    return _named(branch_of(base, plugin, dataset, "lung"), base, ContributorName("mirror"))


def _hostile(base: BaseModule) -> Branch:
    # what is written is hostile, the branch itself is honest
    dataset = replace(patterns(base, "odd", classes=3), prompts=HOSTILE_PROMPTS)
    plugin: Plugin = trained_on(base, dataset)
    return _named(branch_of(base, plugin, dataset, "odd"), base, HOSTILE)


def _named(branch: Branch, base: BaseModule, contributor: ContributorName) -> Branch:
    return Branch.build(
        branch.plugin,
        branch.distilled,
        contributor=contributor,
        task=branch.manifest.task,
        base=base,
        training_images=branch.manifest.training_images,
        recipe="test",
        seed=0,
        validation={},
    )
