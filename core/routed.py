"""The routed forge item: a router over tasks, and an expert for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.encoder import Encoder
from medforge.errors import InvalidInput
from medforge.files import canonical_json
from medforge.item import ITEM_FILE, ForgeItem
from medforge.plugin import Plugin
from medforge.prediction import Prediction
from medforge.prompt_form import normal_form
from medforge.ranking import no_such_task, rank_classes
from medforge.routed_task import AskExpert, Expert, RoutedTask
from medforge.router import Router
from medforge.single_network import FusedPlugin
from medforge.task_card import TASKS_DIRECTORY
from medforge.task_spread import FURTHEST

_FLOOR = 1e-30


class Route(NamedTuple):
    """Hold the tasks that prompts may belong to, P(task | image) among them [n, T] and the likeliest task [n].

    ``places`` are for every task the class of each prompt, None where it has no such class; None altogether for prompts
    of no task.
    """

    tasks: tuple[RoutedTask, ...]
    probabilities: Tensor
    likeliest: Tensor
    places: tuple[tuple[int | None, ...], ...] | None

    def share(self, task: int) -> Tensor:
        """Return the positions [m] of the images whose likeliest task it is."""
        return (self.likeliest == task).nonzero().flatten()


@dataclass(frozen=True, eq=False)
class Routed(ForgeItem):
    """Hold the experts of tasks, sorted by name, and answer by P(task | image) · P(class | task, image).

    Two forward passes an image, whatever the number of tasks and branches: the base module's embedding says which task
    it belongs to, and that task's expert which class. Of other tasks the classes' probabilities are the discriminant's.
    """

    tasks: tuple[RoutedTask, ...]
    kind: ClassVar = "routed"

    @classmethod
    def read(cls, files: Mapping[str, bytes], card: Mapping[str, Any]) -> Routed:
        """Read the tasks that the card names; raises KeyError, ValueError or TypeError where one is not whole."""
        names = card["tasks"]
        if not isinstance(names, list) or not names or names != sorted(set(names)):
            raise ValueError("its tasks are not one or more names in their order")
        tasks = []
        for name in names:
            prefix = f"{TASKS_DIRECTORY}/{name}/"
            task = RoutedTask.read({p.removeprefix(prefix): data for p, data in files.items() if p.startswith(prefix)})
            if task.card.name != name:
                raise ValueError(f"task {str(name)[:80]!r} is another")
            tasks.append(task)
        if len({(one.base_fingerprint, task.spread.means.shape[1]) for task in tasks for one in task.networks}) != 1:
            raise ValueError("its tasks belong to several base modules")
        return cls(tuple(tasks))

    @property
    def base_fingerprint(self) -> str:  # type: ignore[override]
        """The base module that the experts change."""
        return self.tasks[0].expert.base_fingerprint

    @cached_property
    def router(self) -> Router:
        """The router over all tasks."""
        return Router(tuple(task.spread for task in self.tasks))

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of each branch (by digest) in its task's weight."""
        return {branch: share for task in self.tasks for branch, share in task.shares.items()}

    def plugins(self) -> tuple[Plugin, ...]:
        """Return the experts that are plugins, in the order of their tasks, each task's own before its sites'."""
        return tuple(one.plugin for task in self.tasks for one in task.networks if isinstance(one, FusedPlugin))

    def check(self, base: BaseModule) -> None:
        """Check as for every item; every expert and the router must fit the base too."""
        super().check(base)
        for task in self.tasks:
            task.check(base)

    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return the expert's weight change where nothing else answers; raises InvalidInput for several networks."""
        if len(self.tasks) > 1 or self.tasks[0].sites:
            over = f"{len(self.tasks)} tasks" if len(self.tasks) > 1 else f"{len(self.tasks[0].sites)} sites"
            raise InvalidInput(
                f"the merged model routes images over {over}, so it is several networks; for one network merge by "
                "another method, such as --merge ties"
            )
        return self.tasks[0].expert.weight_change(base)

    def logits(
        self, base: BaseModule, images: Tensor, prompts: Sequence[str], encoder: Encoder | None = None
    ) -> Tensor:
        """Return class logits of normalised images, log-probabilities where the prompts are known (see `answer`).

        Without an ``encoder``, which keeps what it merges, the experts that are asked are merged for this call alone.
        """
        encoder = encoder or Encoder(base)
        embeddings = encoder.embed(images).cpu()
        route = self.route(embeddings, prompts)
        return self._answer(base, route, embeddings, prompts, _asking_all(encoder, images, route, embeddings)).to(
            base.device
        )

    def answer(self, base: BaseModule, embeddings: Tensor, prompts: Sequence[str], ask: AskExpert) -> Tensor:
        """Return class logits [n, P], float32 on the CPU, of images whose base embeddings [n, d] are at hand.

        Prompts of one task are answered by its expert, those of several by P(task) · P(class | task) over the tasks
        that have them. Other prompts are put to the expert of the likeliest task: similarities, not probabilities.
        """
        return self._answer(base, self.route(embeddings, prompts), embeddings, prompts, ask)

    def _answer(
        self, base: BaseModule, route: Route, embeddings: Tensor, prompts: Sequence[str], ask: AskExpert
    ) -> Tensor:
        if route.places is None:
            return self._similarities(base, route, embeddings, prompts, ask)
        found = torch.zeros(len(embeddings), len(prompts), dtype=torch.float64)
        for index, places in enumerate(route.places):
            of_class = self._of_classes(base, route, index, torch.arange(len(embeddings)), embeddings, ask)
            for column, place in enumerate(places):
                if place is not None:
                    found[:, column] += route.probabilities[:, index] * of_class[:, place]
        return found.clamp_min(_FLOOR).log().log_softmax(dim=1).float()

    def route(self, embeddings: Tensor, prompts: Sequence[str] | None = None, exactly: bool = True) -> Route:
        """Say which task each image (base embeddings [n, d]) belongs to, among those that the prompts may belong to.

        Those are the tasks that have every prompt; where none does, and each prompt has a task, the tasks that have
        one; all tasks where a prompt has none, or without prompts. For ``exactly`` see `Router.task_log_probabilities`.
        """
        if not prompts:
            evidence = self.router.task_log_probabilities(embeddings, exactly)
            return Route(self.tasks, evidence.softmax(dim=1), evidence.argmax(dim=1), ((),) * len(self.tasks))
        forms = [normal_form(prompt) for prompt in prompts]
        having = [[task.places.get(form) for form in forms] for task in self.tasks]
        whole = [index for index, places in enumerate(having) if None not in places]
        known = all(any(places[column] is not None for places in having) for column in range(len(forms)))
        some = [index for index, places in enumerate(having) if any(place is not None for place in places)]
        chosen = whole or (some if known else list(range(len(self.tasks))))
        evidence = self.router.task_log_probabilities(embeddings, exactly)[:, chosen]
        return Route(
            tuple(self.tasks[index] for index in chosen),
            evidence.softmax(dim=1),
            evidence.argmax(dim=1),
            tuple(tuple(having[index]) for index in chosen) if known else None,
        )

    def predict(
        self,
        base: BaseModule,
        images: Tensor,
        *,
        top: int = 1,
        only: str | None = None,
        furthest: float = FURTHEST,
        encoder: Encoder | None = None,
    ) -> list[Prediction]:
        """Return the ``top`` likeliest classes of each normalised image, of all tasks or of one.

        An image further off than ``furthest`` of the sites' validation images is none of these (see
        `TaskSpread.furthest`). Without an ``encoder``, which keeps what it merges, the experts that are asked are
        merged for this call alone. Raises InvalidInput for a task that the model does not have.
        """
        encoder = encoder or Encoder(base)
        embeddings = encoder.embed(images).cpu()
        route = self._route_among(embeddings, only)
        if not len(images):
            return []
        ask = _asking_all(encoder, images, route, embeddings)
        of_task = self._among_the_first(base, route, embeddings, ask, top)
        chosen = sorted(of_task)
        tasks = [route.tasks[index] for index in chosen]
        ranked = rank_classes(
            [one.card for one in tasks], route.probabilities[:, chosen], [of_task[index] for index in chosen], top
        )
        names = [one.card.name for one in tasks]
        firsts = torch.tensor([names.index(one[0].task) for one in ranked], dtype=torch.int64)
        found: dict[int, Prediction] = {}
        for index, task in enumerate(tasks):
            rows = (firsts == index).nonzero().flatten()
            if len(rows):
                distances = task.spread.nearest(embeddings[rows])
                percentiles, beyond = task.spread.percentiles(distances), task.spread.beyond(distances, furthest)
                answered = task.answered_by(embeddings[rows])
                for place, row in enumerate(rows.tolist()):
                    found[row] = Prediction(
                        ranking=ranked[row],
                        distance=float(distances[place]),
                        percentile=None if percentiles is None else float(percentiles[place]),
                        none_of_these=bool(beyond[place]),
                        answered_by=answered[place],
                    )
        return [found[row] for row in range(len(images))]

    def _route_among(self, embeddings: Tensor, only: str | None) -> Route:
        if only is None:
            return self.route(embeddings, exactly=False)
        task = next((one for one in self.tasks if one.card.name == only), None)
        if task is None:
            raise InvalidInput(no_such_task(only, [one.card.name for one in self.tasks]))
        count = len(embeddings)
        return Route((task,), torch.ones(count, 1, dtype=torch.float64), torch.zeros(count, dtype=torch.int64), None)

    def _among_the_first(
        self, base: BaseModule, route: Route, embeddings: Tensor, ask: AskExpert, top: int
    ) -> dict[int, Tensor]:
        """Return P(class | task) [n, C] of every task (by position) with a class among an image's ``top`` likeliest.

        It is 0 for images of which none of its classes can be. A class is at most as likely as its task: a task counts
        that is as likely as the last of the ``top`` likeliest classes of the image's likeliest tasks, as many as have
        so many classes. Without the others the classes rank as with them.
        """
        found: dict[int, Tensor] = {}

        def add(wanted: Tensor) -> None:
            for index in _numbers(wanted.nonzero()[:, 1]):
                rows = wanted[:, index].nonzero().flatten()
                nothing = torch.zeros(len(embeddings), len(route.tasks[index].prompts), dtype=torch.float64)
                of_class = self._of_classes(base, route, index, rows, embeddings, ask)
                found.setdefault(index, nothing)[rows] = of_class

        chances = route.probabilities
        likeliest = chances.topk(min(top, chances.shape[1]), dim=1).indices
        sizes = torch.tensor([[len(route.tasks[index].card.classes) for index in row] for row in likeliest.tolist()])
        first = torch.zeros_like(chances, dtype=torch.bool).scatter_(1, likeliest, sizes.cumsum(dim=1) - sizes < top)
        first[torch.arange(len(chances)), route.likeliest] = True
        add(first)
        joint = torch.cat([chances[:, [index]] * of_class for index, of_class in found.items()], dim=1)
        least = joint.topk(min(top, joint.shape[1]), dim=1).values[:, -1:]
        # a probability may round to a little above 1
        add((chances >= least * (1 - 1e-9)) & ~first)
        return found

    def _of_classes(
        self, base: BaseModule, route: Route, index: int, rows: Tensor, embeddings: Tensor, ask: AskExpert
    ) -> Tensor:
        """Return P(class | task) [m, C] of some images (positions [m]).

        It is the expert's where the task is the likeliest, else the discriminant's.
        """
        task = route.tasks[index]
        asked = route.likeliest[rows] == index
        if asked.all():
            return task.class_probabilities(base, embeddings.cpu()[rows], _among(rows, ask))
        of_class = task.spread.class_log_probabilities(embeddings[rows]).exp()
        if asked.any():
            mine = rows[asked]
            of_class[asked] = task.class_probabilities(base, embeddings.cpu()[mine], _among(mine, ask))
        return of_class

    def _similarities(
        self, base: BaseModule, route: Route, embeddings: Tensor, prompts: Sequence[str], ask: AskExpert
    ) -> Tensor:
        logits = torch.empty(len(route.likeliest), len(prompts))
        for index, task in enumerate(route.tasks):
            rows = route.share(index)
            if len(rows):
                logits[rows] = task.logits(base, embeddings.cpu()[rows], prompts, _among(rows, ask)).float()
        return logits

    def _build_files(self) -> dict[str, bytes]:
        files = {ITEM_FILE: canonical_json({"kind": self.kind, "tasks": [task.card.name for task in self.tasks]})}
        for task in self.tasks:
            files |= {f"{TASKS_DIRECTORY}/{task.card.name}/{name}": data for name, data in task.files().items()}
        return files


def _numbers(values: Tensor) -> list[int]:
    """Return the different values, rising."""
    found: list[int] = values.unique().tolist()
    return found


def asking(base: BaseModule, images: Tensor) -> AskExpert:
    """Return what embeds rows of some normalised images [n, 3, S, S] by the base with an expert."""

    def ask(expert: Expert, rows: Tensor) -> Tensor:
        return base.embed_all(images[rows.to(images.device)], expert.weight_change(base))

    return ask


def _asking_all(encoder: Encoder, images: Tensor, route: Route, embeddings: Tensor) -> AskExpert:
    """Embed every image by the network of its likeliest task that answers it, all together, and know the results."""
    networks: list[Expert] = []
    chosen = torch.empty(len(images), dtype=torch.int64)
    for index in _numbers(route.likeliest):
        rows = route.share(index)
        for share in route.tasks[index].divided(embeddings[rows]):
            chosen[rows[share.rows]] = len(networks)
            networks.append(share.expert)
    found = encoder.embed_each(images, networks, chosen)
    return lambda _, rows: found[rows.to(found.device)]


def _among(rows: Tensor, ask: AskExpert) -> AskExpert:
    """Ask for images by their positions among ``rows``."""
    return lambda expert, part: ask(expert, rows[part])
