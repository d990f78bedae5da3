"""A centre's commands: train, distill, commit, audit, push, status, contribute, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medforge.client.cli_audit import Override, Site, audit, say_audited
from medforge.client.cli_doctor import doctor
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.start import Start
    from medforge.client.work import Work
    from medforge.client.workspace import Workspace
    from medforge.proto.connection import Connection
    from medforge.proto.kit import Kit

Source = Annotated[
    str | None, typer.Argument(help="Images: NAME:PATH[,option=value]*, e.g. folder:PATH. Needed only the first time.")
]
Directory = Annotated[Path, typer.Option("--workspace", help="The centre's directory; made if it is not there.")]
Contributor = Annotated[str | None, typer.Option(help="Who contributes. Default: the workspace's name.")]
TaskName = Annotated[str | None, typer.Option("--task", help="The task's name. Default: the source's.")]
Base = Annotated[
    str | None,
    typer.Option(help="Base module: medforge-tiny (default), ARCH/TAG, ARCH:CHECKPOINT_PATH or hf-hub:NAME."),
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="tiny, paper or demo. Default: tiny for medforge-tiny, else paper.")
]
Method = Annotated[str | None, typer.Option(help="How images are distilled: dm-dsa (default), dm or dc-dsa.")]
PluginOption = Annotated[str | None, typer.Option("--plugin", help="Kind of plugin: lora (default), dora or svd-lora.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change a recipe setting, e.g. train.lr=0.01 or distill.ipc=10.")
]
Epochs = Annotated[int | None, typer.Option(help="Training epochs (the same as --set train.epochs=N, with no cap).")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice. Default: 0.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")]
Dtype = Annotated[str | None, typer.Option(help="Compute dtype of the frozen weights: fp32 (default) or bf16.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: torch's choice.")]
Patience = Annotated[float, typer.Option(min=0, help="Minutes without any progress before a push gives up.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="HOST:PORT", help="The forge's address. Default: the one in the kit.")
]
KitDirectory = Annotated[
    Path | None, typer.Option("--kit", metavar="DIR", help="Your startup kit, which `medforge invite` made.")
]
Plaintext = Annotated[
    bool, typer.Option("--plaintext", help="Call without TLS; something else, a VPN say, must guard the connection.")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="COMMIT|DIR",
        help="Begin training from a merged model: a commit of the forge (head, or its digest) or a checked-out "
        "directory. The plugin keeps its kind and ranks.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add a centre's commands to the application."""
    for command in (train, distill, commit, audit, push, status, contribute, evaluate, doctor):
        app.command()(command)


def train(
    workspace: Directory,
    source: Source = None,
    contributor: Contributor = None,
    task: TaskName = None,
    base: Base = None,
    recipe: RecipeName = None,
    method: Method = None,
    plugin: PluginOption = None,
    changes: Changes = None,
    epochs: Epochs = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: Dtype = None,
    threads: Threads = None,
    start: From = None,
    at: At = None,
    kit: KitDirectory = None,
    plaintext: Plaintext = False,
) -> None:
    """Train a plugin on the centre's images; continues where a killed run stopped."""
    given = _given(source, contributor, task, base, seed, dtype)
    connection = _connection(at, kit, plaintext) if at or kit else None
    begun = _keep_start(workspace, start, connection, given, plugin, changes, device)
    work = _begin(workspace, given, recipe, method, plugin, changes, epochs, device, threads, begun)
    with work.workspace.locked():
        _say_trained(work.train())


def distill(
    workspace: Directory,
    source: Source = None,
    contributor: Contributor = None,
    task: TaskName = None,
    base: Base = None,
    recipe: RecipeName = None,
    method: Method = None,
    plugin: PluginOption = None,
    changes: Changes = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: Dtype = None,
    threads: Threads = None,
) -> None:
    """Learn the distilled dataset that stands in for the centre's images; continues where a killed run stopped."""
    given = _given(source, contributor, task, base, seed, dtype)
    work = _begin(workspace, given, recipe, method, plugin, changes, None, device, threads)
    with work.workspace.locked():
        _say_distilled(work.distill())


def commit(workspace: Directory, device: Device = "auto") -> None:
    """Put plugin and distilled dataset together as a branch."""
    work = _resume(workspace, device, None)
    with work.workspace.locked():
        typer.echo(f"committed: branch {work.commit()}")


def push(
    workspace: Directory,
    at: At = None,
    kit: KitDirectory = None,
    plaintext: Plaintext = False,
    override: Override = None,
    patience: Patience = 60.0,
    as_json: AsJson = False,
) -> None:
    """Push the audited branch to a forge; retries, resumes, and is harmless when repeated."""
    from medforge.client.workspace import Workspace

    place = Workspace(workspace)
    place.settings  # noqa: B018  # the sentence for a missing workspace comes before anything else
    connection = _connection(at, kit, plaintext)
    with place.locked():
        _push(place, connection, override, patience, as_json)


def status(
    workspace: Directory,
    at: At = None,
    kit: KitDirectory = None,
    plaintext: Plaintext = False,
    as_json: AsJson = False,
) -> None:
    """Show which stages are done; with --kit or --at also what the forge made of the branch."""
    from medforge.client.workspace import Workspace

    def ask() -> dict[str, Any]:
        from medforge.client.send import branch_status

        return branch_status(place, _connection(at, kit, plaintext))

    place = Workspace(workspace)
    state, asked = place.status(), at is not None or kit is not None
    if as_json:
        typer.echo(json.dumps(state | ({"forge": ask()} if asked else {}), indent=2))
        return
    for name in ("source", "contributor", "task", "base", "recipe", "seed", "dtype"):
        typer.echo(f"{name:12} {state[name]}")
    if state["start"] is not None:
        typer.echo(f"{'begun from':12} forge item {state['start']}")
    for name in ("trained", "distilled"):
        done = state[name]
        typer.echo(f"{name:12} {'no' if done is None else 'yes, validation accuracy ' + format(done['acc'], '.3f')}")
    typer.echo(f"{'committed':12} {state['committed'] or 'no'}")
    typer.echo(f"{'audited':12} {_audit_line(state['audited'])}")
    typer.echo(f"{'pushed':12} {'no' if state['pushed'] is None else 'yes'}")
    if asked:
        # last, so that what is known here is shown also where the forge cannot be reached
        found = ask()
        because = f": {found['reason']}" if found["reason"] else ""
        typer.echo(f"{'at the forge':12} {found['state']}{because}")


def contribute(
    workspace: Directory,
    source: Source = None,
    at: At = None,
    kit: KitDirectory = None,
    plaintext: Plaintext = False,
    no_push: Annotated[bool, typer.Option("--no-push", help="Stop after the audit.")] = False,
    site: Site = None,
    override: Override = None,
    patience: Patience = 60.0,
    contributor: Contributor = None,
    task: TaskName = None,
    base: Base = None,
    recipe: RecipeName = None,
    method: Method = None,
    plugin: PluginOption = None,
    changes: Changes = None,
    epochs: Epochs = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: Dtype = None,
    threads: Threads = None,
    start: From = None,
) -> None:
    """Train, distil, commit, audit and push in one go; run it again after any interruption and it goes on."""
    from medforge.client.audit.policy import read_policy
    from medforge.client.workspace import Workspace

    if (no_push and at is not None) or not (no_push or at or kit):
        raise InvalidInput(
            "Say where to push with --kit DIR or --at HOST:PORT, or stop after the commit with --no-push."
        )
    connection = _connection(at, kit, plaintext) if at or kit else None
    opened = connection.kit if connection else None
    if opened is not None:
        contributor = _same("contributor", contributor, opened.card.contributor)
        base = base or (None if Workspace(workspace).exists else opened.card.base_spec)
    policy = read_policy(site) if site else None
    given = _given(source, contributor, task, base, seed, dtype)
    begun = _keep_start(workspace, start, connection, given, plugin, changes, device)
    work = _begin(workspace, given, recipe, method, plugin, changes, epochs, device, threads, begun)
    with work.workspace.locked():
        if opened is not None:
            _check_base(work, opened)
        work.check_distillable()
        _say_trained(work.train())
        _say_distilled(work.distill())
        typer.echo(f"committed: branch {work.commit()}")
        say_audited(work.workspace, work.audit(policy))
        if connection is not None and not no_push:
            _push(work.workspace, connection, override, patience, as_json=False)


def evaluate(
    source: Source = None,
    workspace: Annotated[Path | None, typer.Option(help="Score this workspace's plugin.")] = None,
    item: Annotated[Path | None, typer.Option(help="Score this checked-out forge item.")] = None,
    base: Base = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seed: Seed = None,
    device: Device = "auto",
    dtype: Dtype = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Score a workspace's plugin, or a forge item, on one split of a task."""
    from medforge.client.scoring import score_on_split

    _use_threads(threads)
    result = score_on_split(workspace, item, source, base, split, seed, device, dtype)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        auc = "undefined" if result["auc"] is None else f"{result['auc']:.3f}"
        typer.echo(
            f"{result['task']}, {result['images']} images of the {split} split, by {result['scored_by']}: "
            f"accuracy {result['acc']:.3f}, AUC {auc}"
        )


def _given(
    source: str | None, contributor: str | None, task: str | None, base: str | None, seed: int | None, dtype: str | None
) -> dict[str, object]:
    """Name the settings that were given."""
    given = {"source": source, "contributor": contributor, "task": task, "base": base, "seed": seed, "dtype": dtype}
    return {name: value for name, value in given.items() if value is not None}


def _begin(
    directory: Path,
    given: dict[str, object],
    recipe: str | None,
    method: str | None,
    plugin: str | None,
    changes: list[str] | None,
    epochs: int | None,
    device: str,
    threads: int | None,
    start: Start | None = None,
) -> Work:
    """Open the workspace, or begin it, with the options that were given."""
    from medforge.client.work import Work, open_workspace

    _use_threads(threads)
    set_epochs = [] if epochs is None else [f"train.epochs={epochs}", "train.max_steps=none"]
    if start is not None:
        given, plugin = given | {"start": start.item}, start.kind
    return Work(open_workspace(directory, given, recipe, [*(changes or []), *set_epochs], method, plugin), device)


def _keep_start(
    workspace: Path,
    text: str | None,
    forge: Connection | None,
    given: dict[str, object],
    plugin: str | None,
    changes: list[str] | None,
    device: str,
) -> Start | None:
    """Fetch the merged model that training is to begin from, if any, and keep it in the workspace."""
    if text is None:
        return None
    sized = [] if plugin is None else [f"--plugin {plugin}"]
    sized += [
        f"--set {change}"
        for change in changes or []
        if change.startswith("train.plugin.") and not change.startswith("train.plugin.dropout")
    ]
    if sized:
        raise InvalidInput(f"{sized[0]} cannot be used with --from: the plugin keeps its kind and ranks.")
    from medforge.client.start import keep_start, open_start
    from medforge.client.workspace import Workspace

    base = str(given.get("base", "medforge-tiny"))
    start = keep_start(Workspace(workspace), text, lambda: open_start(text, forge), base, device)
    if start.said:
        typer.echo(start.said)
    return start


def _resume(directory: Path, device: str, threads: int | None) -> Work:
    from medforge.client.work import Work
    from medforge.client.workspace import Workspace

    _use_threads(threads)
    workspace = Workspace(directory)
    workspace.settings  # noqa: B018  # the sentence for a missing workspace comes before any work
    return Work(workspace, device)


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _say_trained(best: dict[str, Any]) -> None:
    typer.echo(f"trained: validation accuracy {best['acc']:.3f} (best epoch: {best['epoch']})")


def _say_distilled(best: dict[str, Any]) -> None:
    typer.echo(f"distilled: distilled data only {best['acc']:.3f} on validation (chosen at step {best['step']})")


def _connection(at: str | None, kit: Path | None, plaintext: bool) -> Connection:
    from medforge.proto.connection import Connection

    return Connection.from_options(at, kit, plaintext)


def _same(option: str, given: str | None, kits: str) -> str:
    """Return the kit's word for an option, having checked that nothing else was given."""
    if given not in (None, kits):
        raise InvalidInput(f"The kit says {option} {kits!r}, not {given!r}; leave --{option} out or use another kit.")
    return kits


def _check_base(work: Work, kit: Kit) -> None:
    """Find out before hours of training, rather than at the push, that the forge stands on another base module."""
    if work.workspace.trained is None and work.base.fingerprint != kit.card.base:
        raise InvalidInput(
            f"The workspace works on base module {work.base.fingerprint[:12]} ({work.settings.base}), but the kit's "
            f"forge stands on {kit.card.base[:12]} ({kit.card.base_spec}); begin another workspace with --base."
        )


def _audit_line(state: dict[str, Any] | None) -> str:
    if state is None:
        return "no"
    if state["passed"]:
        return "yes, passed"
    by = state["overridden_by"]
    return f"yes, over the limits{f', let pass by {by}' if by else ''}: {'; '.join(state['failed'])}"


def _push(
    workspace: Workspace,
    connection: Connection,
    override: str | None,
    minutes: float,
    as_json: bool,
) -> None:
    from medforge.client.send import push_workspace

    def say(sentence: str) -> None:
        typer.echo(sentence, err=True)

    receipt = push_workspace(workspace, connection, minutes, say, override)
    if as_json:
        typer.echo(receipt.model_dump_json())
    else:
        typer.echo(f"pushed: arrival {receipt.arrival} at {connection.address} (forge {receipt.forge})")
