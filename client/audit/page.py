"""The audit's report: one HTML file with pictures of real images, for the site's own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medforge.client.audit import charts
from medforge.client.audit.distances import nearest
from medforge.client.audit.gallery import Gallery, pictures
from medforge.client.audit.record import AuditRecord, Closeness, Measure, Measurements, MostExposed, NearestToMean
from medforge.client.audit.verdict import CALLED, FEWEST_OTHERS, bound, near_copies, spell_ratio
from medforge.layouts import layouts, turned, turned_rows
from medforge.look.page import templates
from medforge.look.pictures import data_uri, grid

if TYPE_CHECKING:
    from medforge.client.audit.run import Evidence
    from medforge.client.data.task import Task

SHOWN = 12
_SIDE = 112


@dataclass(frozen=True)
class Trio:
    """Show a distilled image, the real image nearest to it, and the other real image nearest to that one."""

    number: int
    closeness: Closeness
    copy: bool
    neighbour: float
    images: tuple[str, str, str]


@dataclass(frozen=True)
class MeasurePanel:
    """Show one measure: its histogram and its closest trios."""

    title: str
    chart: str
    alt: str
    limit: float
    typical: float
    references: int
    trios: tuple[Trio, ...]


@dataclass(frozen=True)
class MeanPanel:
    """Show the training image that lies nearest to the mean of its class."""

    closest: NearestToMean
    image: str


@dataclass(frozen=True)
class ShadowPanel:
    """Show the attack on the plugin by shadow models and the image that it gives away most."""

    exposed: MostExposed
    ratio: str
    others: str
    image: str
    scores: str
    confidences: str


def render(record: AuditRecord, evidence: Evidence, task: Task) -> str:
    """Write the report of an audit as one self-contained HTML page."""
    policy, measured = record.policy, record.measured
    titles: dict[Measure, tuple[str, float]] = {
        "layout": ("By layout", policy.layout_distance),
        "features": ("By the base module's features", policy.feature_distance),
    }
    panels = [_panel(measure, *titles[measure], record, evidence, task) for measure in titles]
    targets = tuple(dict.fromkeys(attack.target for attack in evidence.attacks))
    rocs = [
        (
            f"Attacks on the {CALLED[target]}",
            data_uri(charts.roc([a for a in evidence.attacks if a.target == target]).encode(), "image/svg+xml"),
        )
        for target in targets
    ]
    return (
        templates("medforge.client.audit")
        .get_template("audit.html.j2")
        .render(
            record=record,
            measured=measured,
            policy=policy,
            panels=panels,
            rocs=rocs,
            copies=near_copies(measured, policy),
            total=len(evidence.labels),
            closest=min(image.relative for image in measured.comparisons["layout"].images),
            worst={target: max(a.auc for a in measured.attacks if a.target == target) for target in targets},
            called=CALLED,
            means=_means(measured, task),
            shadows=_shadows(evidence, task),
            rare=any(attack.rare is not None for attack in measured.attacks),
            few=measured.others < FEWEST_OTHERS,
            fewest=FEWEST_OTHERS,
        )
    )


def _means(measured: Measurements, task: Task) -> tuple[MeanPanel, ...]:
    if measured.statistics is None:
        return ()
    closest = measured.statistics.classes[:SHOWN]
    shown = pictures(task, [one.nearest for one in closest])
    return tuple(MeanPanel(one, _picture(image)) for one, image in zip(closest, shown, strict=True))


def _shadows(evidence: Evidence, task: Task) -> ShadowPanel | None:
    found = evidence.shadows
    if found is None or found.found.exposed is None:
        return None
    exposed = found.found.exposed
    return ShadowPanel(
        exposed=exposed,
        ratio=spell_ratio(exposed.ratio),
        others=spell_ratio(exposed.others),
        image=_picture(pictures(task, [exposed.position])[0]),
        scores=data_uri(charts.ratios(found.attacks[0]).encode(), "image/svg+xml"),
        confidences=data_uri(charts.confidences(found, exposed.position).encode(), "image/svg+xml"),
    )


def _panel(
    measure: Measure, title: str, share: float, record: AuditRecord, evidence: Evidence, task: Task
) -> MeasurePanel:
    found, kept = evidence.comparisons[measure], record.measured.comparisons[measure]
    limit = bound(kept, share)
    copies = sum(image.distance <= limit for image in kept.images)
    return MeasurePanel(
        title=title,
        chart=data_uri(charts.distances(found, limit).encode(), "image/svg+xml"),
        alt=f"Distances of real images to their nearest other, typically {kept.typical:.2f}, and of distilled ones to "
        f"their nearest real one: {copies} of {len(kept.images)} within the limit of {limit:.2f}",
        limit=limit,
        typical=kept.typical,
        references=kept.references,
        trios=_trios(measure, kept.images, limit, evidence, task),
    )


def _trios(
    measure: Measure, images: Sequence[Closeness], limit: float, evidence: Evidence, task: Task
) -> tuple[Trio, ...]:
    """Show the closest images first."""
    order = sorted(range(len(images)), key=lambda at: images[at].distance)[:SHOWN]
    real = torch.tensor([images[at].nearest for at in order])
    gallery = evidence.gallery
    rows = turned_rows(gallery.layouts[real]) if measure == "layout" else gallery.features[real]
    all_rows = gallery.layouts if measure == "layout" else gallery.features
    other = nearest(rows, all_rows, gallery.groups[real], gallery.groups)
    learned = evidence.pixels[order]
    shown_real, shown_other = pictures(task, real.tolist()), pictures(task, other.position.tolist())
    if measure == "layout":
        learned = _as_lies(learned, gallery, real)
        shown_other = _as_lies(shown_other, gallery, real)
    return tuple(
        Trio(
            number=at + 1,
            closeness=images[at],
            copy=images[at].distance <= limit,
            neighbour=float(distance),
            images=(_picture(a), _picture(b), _picture(c)),
        )
        for at, distance, a, b, c in zip(order, other.distance, learned, shown_real, shown_other, strict=True)
    )


def _as_lies(images: Tensor, gallery: Gallery, real: Tensor) -> Tensor:
    """Mirror and turn each image [n, 3, S, S] so that it lies as its real image does."""
    versions = turned(images)
    rows = torch.stack([layouts(version) for version in versions])
    best = (rows - gallery.layouts[real]).norm(dim=2).argmin(dim=0)
    return versions[best, torch.arange(len(images))]


def _picture(image: Tensor) -> str:
    """Return uint8 pixels [3, S, S] as the address of a PNG of at most 112 × 112."""
    if image.shape[-1] > _SIDE:
        image = F.interpolate(image.unsqueeze(0).float(), size=_SIDE, mode="area").squeeze(0).to(torch.uint8)
    return data_uri(grid(np.asarray(image.unsqueeze(0)), 1), "image/png")
