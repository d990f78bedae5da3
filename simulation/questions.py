"""What the centres ask, looked at before a run writes anything: one question a task, and no two tasks alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from medforge.client.data.catalogue import open_task, same_source, whole_source
from medforge.client.data.inspection.before_work import check_images
from medforge.declared_task import DeclaredTask, check_apart
from medforge.errors import InvalidInput
from medforge.prompt_form import class_key, normal_form
from medforge.simulation.centres import Centre, tasks_of

# the pixels are not looked at
SIDE = 64


def check_questions(centres: Sequence[Centre], seed: int) -> None:
    """Refuse two tasks that share a prompt, and two centres of one task that ask differently; both in normal form.

    A centre may lack classes that another centre of its task has. Every source is opened and divided, and no image
    decoded. Raises InvalidInput, also for a source that cannot be opened or divided.
    """
    asked = _prompts(centres, seed)
    tasks = [
        DeclaredTask.make(task, [(class_key(prompt), prompt) for prompt in _common(task, names, asked)])
        for task, names in tasks_of(centres).items()
    ]
    check_apart(tasks)


def check_centres(centres: Sequence[Centre], seed: int) -> None:
    """Look at every image of the centres once. Raises InvalidInput naming the centre and what cannot be used."""
    for source in dict.fromkeys(whole_source(centre.source)[0] for centre in centres):
        name = next(centre.name for centre in centres if whole_source(centre.source)[0] == source)
        try:
            check_images(open_task(source, SIDE, seed), source)
        except InvalidInput as error:
            refusal = InvalidInput(f"--centre {name}: {error}")
            refusal.details = error.details
            raise refusal from error


def _prompts(centres: Sequence[Centre], seed: int) -> dict[str, tuple[str, ...]]:
    """Return what each centre's undivided source asks, each source opened once."""
    from medforge.client.data.sites.divide import at_site
    from medforge.client.data.task import Task

    opened: dict[str, Task] = {}
    for centre in centres:
        try:
            source, site = whole_source(centre.source)
            if source not in opened:
                opened[source] = open_task(source, SIDE, seed)
            if site is not None:
                at_site(opened[source], site, seed)
        except InvalidInput as error:
            raise InvalidInput(f"--centre {centre.name}: {error}") from error
    return {centre.name: opened[whole_source(centre.source)[0]].texts for centre in centres}


def _common(task: str, names: Sequence[str], asked: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the prompts of a task: those of the centre with the most classes, which every other centre's must be of.

    Raises InvalidInput where one is not.
    """
    fullest = max(names, key=lambda name: len(asked[name]))
    known = set(map(normal_form, asked[fullest]))
    for name in names:
        for prompt in asked[name]:
            if normal_form(prompt) not in known:
                raise InvalidInput(
                    f"the centres {fullest} and {name} both answer task {task}, but {name} asks {prompt!r}, and"
                    f" {fullest} {', '.join(map(repr, asked[fullest]))}; word their prompts alike, or name two tasks"
                )
    return asked[fullest]


def same_images(centres: Sequence[Centre]) -> list[str]:
    """Return a sentence for every two centres of one task that have images in common: neither is away at the other."""
    found = []
    for one, other in combinations(centres, 2):
        (source, site), (other_source, other_site) = whole_source(one.source), whole_source(other.source)
        apart = site is not None and other_site is not None and site.parts_from(other_site)
        if one.task == other.task and same_source(source, other_source) and not apart:
            found.append(
                f"{one.name} and {other.name} have images in common, so neither is away from home at the other"
            )
    return found
