"""From what was asked to a workspace that can be worked on: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.base_check import check_base, resolve_base
from medforge.client.data.catalogue import check_source, resolve_source
from medforge.client.recipe import Recipe
from medforge.client.recipes import change_recipe, recipe_for, with_method, with_plugin, with_privacy
from medforge.client.settings import Settings, make_settings
from medforge.client.workspace import Workspace
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.start import Start
    from medforge.client.work import Work


def begin_work(
    directory: Path,
    given: Mapping[str, object],
    recipe: str | None = None,
    changes: Sequence[str] = (),
    method: str | None = None,
    plugin: str | None = None,
    device: str = "auto",
    start: Start | None = None,
    check: Callable[[Work], None] = lambda work: None,
    privacy: Mapping[str, float] | None = None,
) -> Work:
    """Open a workspace whose settings agree with those given, or begin it with them and the defaults of the others.

    What costs nothing is checked first; then the base is loaded and the images are listed, and `check` may refuse what
    came of it. Only after that anything is written. A workspace in which no work has been saved is bound to nothing: it
    is begun anew where the settings differ. The recipe is compared only when it is named or changed, else the
    distillation method, the plugin kind and what is asked of `privacy` (epsilon, delta) alone when they are given; the
    contributor's name is not, as it is the commit's. Raises InvalidInput naming what is missing, wrong or differs.
    """
    workspace = Workspace(directory)
    # before the source is looked at, which takes seconds
    named = given.get("base") or (workspace.settings.base if workspace.exists else None)
    if named is not None:
        check_base(str(named), device)
    if start is not None:
        expert = {} if start.task is None else {"start_task": start.task}
        given, plugin = {**given, "start": start.item, **expert}, start.kind
    given = _declared(workspace, given)
    planned = _planned(workspace, given, recipe, changes, method, plugin, privacy or {})
    settings = planned or workspace.settings
    if settings.base != named or settings.dtype != "fp32":
        check_base(settings.base, device, settings.dtype)
    workspace.check_writable()
    # imported here: it takes seconds, and nothing was wrong so far
    from medforge.client.work import Work

    if planned is None:
        return Work(workspace, device)
    if workspace.begun:
        with workspace.locked():
            workspace.create(planned)
        return Work(workspace, device)
    work = Work(workspace, device, planned)
    _ = work.task
    check(work)
    with workspace.locked():
        if workspace.begun:
            workspace.require(planned.model_dump(mode="json", exclude={"contributor", "statistics", "inspected"}))
        elif start is not None and start.plugin is not None:
            start.plugin.save(workspace.start)
        workspace.create(planned)
    return work


def _declared(workspace: Workspace, given: Mapping[str, object]) -> Mapping[str, object]:
    """Return what is given with the name of the task that is declared, where one is.

    Raises InvalidInput for another name, and for a map without a declared task.
    """
    declared = given.get("declared") or (workspace.settings.declared if workspace.exists else None)
    if not isinstance(declared, DeclaredTask):
        if "class_map" in given:
            raise InvalidInput(
                "--map says which classes of a declared task the folders are, but none is declared; give --task-file "
                "FILE, or --task NAME with --kit"
            )
        return given
    if given.get("task", declared.name) != declared.name:
        raise InvalidInput(f"the declared task is {declared.name!r}, not {given['task']!r}; leave --task out")
    return {**given, "task": declared.name}


def _planned(
    workspace: Workspace,
    given: Mapping[str, object],
    recipe: str | None,
    changes: Sequence[str],
    method: str | None,
    plugin: str | None,
    privacy: Mapping[str, float],
) -> Settings | None:
    """Return the settings that are to be written, or None where those of the workspace stand."""
    kept = workspace.settings if workspace.exists else None
    if kept is not None:
        try:
            return _agreeing(workspace, kept, given, recipe, changes, method, plugin, privacy)
        except InvalidInput:
            if workspace.begun:
                raise
            given = {**kept.model_dump(mode="json", exclude={"recipe"}, exclude_none=True), **given}
    if "source" not in given:
        raise InvalidInput(
            f"there is no workspace in {workspace.path} yet; say which images it works on, "
            f"e.g. medforge train folder:PATH --workspace {workspace.path}"
        )
    source, base = str(given["source"]), str(given.get("base", "medforge-tiny"))
    check_source(source)
    if kept is not None and kept.base == base and recipe is None and not changes:
        begun_with = Recipe.model_validate(kept.recipe)
        other_method = None if method == kept.method else method
        chosen = _changed(begun_with, (), other_method, None if plugin == kept.plugin else plugin, privacy)
    else:
        chosen = _changed(recipe_for(base, recipe), changes, method, plugin, privacy)
    resolved = {"source": resolve_source(source), "base": resolve_base(base)}
    return make_settings({**given, **resolved, "recipe": chosen.model_dump(mode="json"), "inspected": True})


def _agreeing(
    workspace: Workspace,
    kept: Settings,
    given: Mapping[str, object],
    recipe: str | None,
    changes: Sequence[str],
    method: str | None,
    plugin: str | None,
    privacy: Mapping[str, float],
) -> Settings | None:
    """Check that a workspace agrees with what is given; return its settings with another contributor if one is named.

    Raises InvalidInput naming the first setting that differs.
    """
    wanted = {name: value for name, value in given.items() if name != "contributor"}
    if kept.start is not None:
        # the merged model that it was begun from decided the kind
        plugin = kept.plugin
    if recipe is not None or changes:
        chosen = _changed(recipe_for(kept.base, recipe), changes, method, plugin, privacy)
        wanted["recipe"] = chosen.model_dump(mode="json")
    else:
        asked = (("method", method), ("plugin", plugin), *privacy.items())
        wanted |= {name: value for name, value in asked if value is not None}
    workspace.require(wanted)
    named = given.get("contributor")
    if named in (None, kept.contributor):
        return None
    return make_settings({**kept.model_dump(mode="json"), "contributor": named})


def _changed(
    chosen: Recipe, changes: Sequence[str], method: str | None, plugin: str | None, privacy: Mapping[str, float]
) -> Recipe:
    if method is not None:
        chosen = with_method(chosen, method)
    if plugin is not None:
        chosen = with_plugin(chosen, plugin)
    if privacy:
        chosen = with_privacy(chosen, privacy)
    return change_recipe(chosen, changes)
