"""One task of a routed model: its classes, its expert, and where its images lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import canonical_json, digest_of_files, parse_json
from medforge.item import ForgeItem
from medforge.prompt_form import normal_form
from medforge.single_network import FusedPlugin, WeightChange
from medforge.task_card import CARD_FILE, TaskCard
from medforge.task_site import TaskSite, dump_sites, nearest_site, read_sites
from medforge.task_spread import TaskSpread
from medforge.tensors import dump_tensors, parse_tensors

SPREAD_FILE = "spread.safetensors"
EXPERT_DIRECTORY = "expert"
Expert = FusedPlugin | WeightChange
# embeddings [m, d] of some images (positions [m]) by the base with an expert
AskExpert = Callable[[Expert, Tensor], Tensor]


class Share(NamedTuple):
    """Hold which images (positions [m]) an expert answers, and by what its logits are divided."""

    expert: Expert
    temperature: float
    rows: Tensor


@dataclass(frozen=True, eq=False)
class RoutedTask:
    """Hold a task's card, the spread of its images (`distances` of the card are in it) and its expert.

    Where ``sites`` keep plugins of their own (with cards as in the task's), an image is answered by the plugin of the
    site it looks like, and by the expert where it looks like none.
    """

    card: TaskCard
    spread: TaskSpread
    expert: Expert
    sites: tuple[TaskSite, ...] = ()

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each class stands, by its prompt in normal form."""
        return {normal_form(one.prompt): place for place, one in enumerate(self.card.classes)}

    @property
    def shares(self) -> dict[str, float]:
        """The share of each branch (by digest) in the task's weight."""
        total = sum(member.weight for member in self.card.members)
        return {member.branch: member.weight / total for member in self.card.members}

    @property
    def prompts(self) -> tuple[str, ...]:
        """The classes' prompts, in their order."""
        return tuple(one.prompt for one in self.card.classes)

    @property
    def networks(self) -> tuple[Expert, ...]:
        """Everything that answers: the expert, then the sites' own plugins."""
        return (self.expert, *(site.expert for site in self.sites))

    def answered_by(self, embeddings: Tensor) -> list[tuple[str, ...]]:
        """Return for each image (base embeddings [n, d]) the branches (by digest) that its network was merged from."""
        answered = [tuple(member.branch for member in self.card.members)] * len(embeddings)
        for network, _, rows in self.divided(embeddings):
            own = next((site.card.branch for site in self.sites if site.expert is network), None)
            for row in rows.tolist() if own else ():
                answered[row] = (str(own),)
        return answered

    def divided(self, embeddings: Tensor) -> Iterator[Share]:
        """Say which network answers which images (base embeddings [n, d]); each image one, and no share is empty."""
        chosen = torch.full((len(embeddings),), -1)
        if self.sites and len(embeddings):
            chosen = nearest_site(self.sites, self.spread, embeddings)
        temperatures = (self.card.temperature, *(site.card.temperature for site in self.sites))
        for place, (network, temperature) in enumerate(zip(self.networks, temperatures, strict=True), start=-1):
            rows = (chosen == place).nonzero().flatten()
            if len(rows):
                yield Share(network, temperature, rows)

    def logits(
        self,
        base: BaseModule,
        embeddings: Tensor,
        prompts: Sequence[str],
        ask: AskExpert,
    ) -> Tensor:
        """Return logits [n, P] on the CPU of any prompts, each network's divided by its temperature.

        ``embeddings`` [n, d] are the base's, and ``ask`` embeds some of these images with a network.
        """
        logits = torch.empty(len(embeddings), len(prompts), dtype=torch.float64)
        for network, temperature, rows in self.divided(embeddings):
            of_network = partial(base.logits, ask(network, rows).to(base.device), prompts)
            logits[rows] = base.steadily(of_network).cpu().double() / temperature
        return logits

    def class_probabilities(self, base: BaseModule, embeddings: Tensor, ask: AskExpert) -> Tensor:
        """Return P(class | task, image), float64 [n, C] on the CPU (see `logits` for what is given).

        Mixes the expert's class probabilities with those of the discriminant.
        """
        of_expert = self.logits(base, embeddings, self.prompts, ask).softmax(dim=1)
        if not self.card.head:
            return of_expert
        of_head = self.spread.class_log_probabilities(embeddings).exp()
        return (1 - self.card.head) * of_expert + self.card.head * of_head

    def check(self, base: BaseModule) -> None:
        """Check that the experts and the spread fit the base; raises BaseMismatch or InvalidBranch."""
        for network in self.networks:
            network.check(base)
        if self.spread.means.shape[1] != base.embed_dim:
            raise InvalidBranch(
                f"the forge item's router measures {self.spread.means.shape[1]} features where the base module has "
                f"{base.embed_dim}; check it out again"
            )

    @property
    def digest(self) -> str:
        """The sha256 of the task's files."""
        return digest_of_files(self._files)

    def files(self) -> dict[str, bytes]:
        """Return the task as named files, the same bytes for the same task."""
        return dict(self._files)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        spread = {name: getattr(self.spread, name) for name in ("means", "weights", "covariance")}
        expert = {f"{EXPERT_DIRECTORY}/{name}": data for name, data in self.expert.files().items()}
        return {
            CARD_FILE: canonical_json(self.card.model_dump(mode="json")),
            SPREAD_FILE: dump_tensors(spread),
            **expert,
            **dump_sites(self.sites),
        }

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> RoutedTask:
        """Read a task from its files; raises KeyError, ValueError, TypeError or a MedForgeError where they are none."""
        card = TaskCard.model_validate(parse_json(files[CARD_FILE]))
        prefix = f"{EXPERT_DIRECTORY}/"
        expert = ForgeItem.parse(
            {name.removeprefix(prefix): data for name, data in files.items() if name.startswith(prefix)},
            ("fused", "weights"),
        )
        assert isinstance(expert, FusedPlugin | WeightChange)
        spread = _spread(files[SPREAD_FILE], card)
        return cls(card, spread, expert, read_sites(files, card.sites, spread))


def _spread(data: bytes, card: TaskCard) -> TaskSpread:
    tensors, _ = parse_tensors(data, f"the spread of task {card.name!r}")
    means, weights, covariance = (tensors[name] for name in ("means", "weights", "covariance"))
    if (means.dtype, weights.dtype, covariance.dtype) != (torch.float32, torch.int64, torch.float32) or means.ndim != 2:
        raise ValueError("its spread is not of float32 means, int64 weights and a float32 covariance")
    classes, width = means.shape
    if classes != len(card.classes) or tuple(weights.shape) != (classes,) or tuple(covariance.shape) != (width, width):
        raise ValueError("its spread does not fit its classes")
    if int(weights.min()) < 0 or int(weights.max()) == 0 or not means.isfinite().all():
        raise ValueError("its spread has weights or means that cannot be")
    if not covariance.isfinite().all() or not torch.equal(covariance, covariance.T) or not _can_measure(covariance):
        raise ValueError("its spread's covariance is none")
    return TaskSpread(means, weights, covariance, card.distances)


def _can_measure(covariance: Tensor) -> bool:
    """Say whether distances can be measured by a covariance: it is positive definite, or nothing at all."""
    return not covariance.any() or bool(torch.linalg.eigvalsh(covariance.double())[0] > 0)
