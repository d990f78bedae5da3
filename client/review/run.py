"""What `medforge review` does: ask what is to be reviewed, run it on the site's own images, count, sign and send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medforge import __version__
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.data.task import Task
from medforge.client.model_task import ModelTask, model_task, tasks_of
from medforge.client.naming import name_for
from medforge.client.review.answers import Answers, answers
from medforge.client.review.counting import count
from medforge.client.review.item_files import ItemFiles
from medforge.client.review.memory import ReviewMemory
from medforge.client.review.question import Question, ReviewedCommit, ask
from medforge.client.work import Work
from medforge.client.workspace import Workspace
from medforge.errors import BaseMismatch, InvalidInput
from medforge.faults import reached
from medforge.forge_item import ForgeItem, FusedPlugin
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from medforge.proto.signed_review import Review, TaskReview

MEMORY_FILE = "reviews.json"
THRESHOLD = 10
"""Images that a count must have to be sent, unless the site says otherwise."""


@dataclass(frozen=True)
class Reviewed:
    """Say what became of a site's review: of which commit (None: none is asked for), what was counted, was it sent.

    `before` has by task how many images were right under the commit that it was compared with.
    """

    question: Question
    commit: ReviewedCommit | None
    review: Review | None = None
    before: dict[str, int] = field(default_factory=dict)
    sent: bool = False


@dataclass
class Reviewer:
    """Review for one site: its workspaces, whose validation images are asked about, loaded once.

    `epsilon` adds noise to each count, `threshold` is how many images one must have; `say` hears what is left out and
    why.
    """

    workspaces: Sequence[Path]
    connection: Connection
    device: str = "auto"
    threshold: int = THRESHOLD
    epsilon: float | None = None
    say: Callable[[str], None] = lambda sentence: None
    files: ItemFiles = field(default_factory=ItemFiles)

    def __post_init__(self) -> None:
        if not self.workspaces:
            raise InvalidInput("whose images are to be asked about is not said; name workspaces with --workspace DIR")
        self._works = [Work(Workspace(path), self.device) for path in self.workspaces]
        names = {name_for(work.workspace, self.connection.kit).identifier for work in self._works}
        if len(names) > 1:
            raise InvalidInput(f"the workspaces belong to {', '.join(sorted(names))}; review for one of them at a time")
        self._name = names.pop()
        self._bases: dict[tuple[str, str], BaseModule] = {}

    def once(self, send: bool = True, again: bool = False) -> Reviewed:
        """Review what the forge asks for now, unless this site has done so; `again` reviews it all the same.

        Raises what `ask` and `ItemFiles.item` raise, BaseMismatch for a workspace on another base module than the
        forge's, and what `RemoteForge.review` raises.
        """
        with RemoteForge(self.connection) as forge:
            question = ask(forge, self._name)
            commit = question.asked
            if commit is None or (commit.digest in question.own and not again):
                return Reviewed(question, commit)
            done = [self._review(forge, question, commit, work) for work in self._works]
            known = dict(question.own[commit.digest].tasks) if commit.digest in question.own else {}
            tasks = known | {one.task: one.counts for one in done if one is not None and one.counts is not None}
            before = {one.task: one.before for one in done if one is not None and one.before is not None}
            review = Review(
                forge=question.forge,
                reviewer=self._name,
                commit=commit.digest,
                tasks=tasks,
                threshold=self.threshold,
                epsilon=self.epsilon,
                software=__version__,
            )
            if not tasks or not send:
                return Reviewed(question, commit, review, before)
            kit = self.connection.kit
            signature = bytes.fromhex(kit.sign_review(review).signature) if kit else b""
            reached("before sending a review")
            forge.review(review.to_bytes(), signature)
            reached("after sending a review")
            for one in done:
                if one is not None:
                    one.memory.save(one.place, one.right)
            self.files.keep_only([commit, question.stable, *(one.baseline for one in done if one is not None)])
            return Reviewed(question, commit, review, before, sent=True)

    def _review(self, forge: RemoteForge, question: Question, commit: ReviewedCommit, work: Work) -> _Done | None:
        """Count how a commit does on a workspace's validation images; None, and a word, where it cannot be asked."""
        base, task = self._open(work, question)
        name = work.settings.task or (work.settings.declared.name if work.settings.declared else None)
        where = work.workspace.path
        if task.multi_label:
            self.say(
                f"{where} is left out: its images have several findings each, and reviews count one class an image"
            )
            return None
        item = self.files.item(forge, commit)
        try:
            asked = _asked(item, question, task, name)
        except InvalidInput as error:
            self.say(f"{where} is left out: {error}")
            return None
        place = where / MEMORY_FILE
        memory = ReviewMemory.load(place, question.forge, task.validation)
        now = self._answers(item, base, task, asked, question, "asking the commit")
        right = {commit.digest: int(now.right.sum())}
        before = self._alone(work, base, task, asked) if question.begins(commit, self._name, asked.name) else None
        baseline = None
        if before is None:
            baseline, before = self._baseline(forge, question, commit, memory, (base, task, asked.name), right)
        names = tuple(one.name for one in tasks_of(item, None) or question.tasks)
        told = baseline.digest if baseline else None
        counts = count(now, asked.name, self.threshold, before, told, self.epsilon, names)
        if counts is None:
            self.say(f"{where} is left out: it has fewer than {self.threshold} validation images (--threshold)")
        was = int(before.right.sum()) if before is not None else None
        return _Done(asked.name, counts, was, memory, place, right, baseline or commit)

    def _baseline(
        self,
        forge: RemoteForge,
        question: Question,
        commit: ReviewedCommit,
        memory: ReviewMemory,
        about: tuple[BaseModule, Task, str],
        right: dict[str, int],
    ) -> tuple[ReviewedCommit | None, Answers | None]:
        """Return the comparable commit that did best here, and its answers; None where there is nothing to compare."""
        base, task, name = about
        stable = question.stable
        if not question.reviewed or stable == commit or stable.digest not in question.live:
            return None, None
        found: dict[str, Answers] = {}

        def answer(one: ReviewedCommit) -> Answers | None:
            item = self.files.item(forge, one)
            try:
                asked = _asked(item, question, task, name)
            except InvalidInput:
                return None  # it did not answer this task yet
            return self._answers(item, base, task, asked, question, "asking the commit before")

        if stable.digest not in memory.right:
            # it went live without a review from here
            given = answer(stable)
            if given is None:
                return None, None
            found[stable.digest] = given
            right[stable.digest] = int(given.right.sum())
        known = memory.model_copy(update={"right": memory.right | right})
        best = known.best(question, question.comparable(commit, name))
        before = found.get(best.digest) or answer(best)
        return (best, before) if before is not None else (None, None)

    def _alone(self, work: Work, base: BaseModule, task: Task, asked: ModelTask) -> Answers | None:
        """Return what the site's own branch answers by itself; None for a workspace without one on this base module."""
        if work.workspace.committed is None:
            return None
        plugin = Branch.load(work.workspace.branch).plugin
        if plugin.base_fingerprint != base.fingerprint:
            return None
        return answers(FusedPlugin(plugin), base, task.validation, asked, (asked,), "asking the own branch alone")

    def _answers(
        self, item: ForgeItem, base: BaseModule, task: Task, asked: ModelTask, question: Question, what: str
    ) -> Answers:
        return answers(item, base, task.validation, asked, tasks_of(item, None) or question.tasks, what)

    def _open(self, work: Work, question: Question) -> tuple[BaseModule, Task]:
        """Load base module and images of a workspace, the base module once for all."""
        spec = (work.settings.base, work.settings.dtype)
        if spec in self._bases:
            work.base = self._bases[spec]
        base = self._bases.setdefault(spec, work.base)
        if base.fingerprint != question.base:
            raise BaseMismatch(
                f"the workspace {work.workspace.path} stands on base module {base.fingerprint[:12]} ({base.spec}), the "
                f"forge on {question.base[:12]}; leave it out"
            )
        return base, work.task


@dataclass(frozen=True)
class _Done:
    """Hold what was counted of one workspace, and what is remembered of it once the review was sent."""

    task: str
    counts: TaskReview | None
    before: int | None
    memory: ReviewMemory
    place: Path
    right: dict[str, int]
    baseline: ReviewedCommit


def _asked(item: ForgeItem, question: Question, task: Task, name: str | None) -> ModelTask:
    return model_task(tasks_of(item, None) or question.tasks, task, name)
