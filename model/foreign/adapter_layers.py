"""Which sites of a base module an adapter's layers are, whatever model they were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.model.foreign.adapter_files import AdapterFiles
from medforge.model.layer_names import OwnPlace, from_hugging_face, hugging_face_name, own_place

_VISION = "vision_model."


@dataclass(frozen=True, eq=False)
class SiteWeights:
    """Hold the weights of one site (A, B, E, magnitude_vector), and the adapter's layer that they are of."""

    layer: str
    parts: Mapping[str, Tensor]


def weights_by_site(adapter: AdapterFiles, base: BaseModule) -> dict[str, SiteWeights]:
    """Return an adapter's weights by the base's sites.

    The layers may be those of MedForge's tower, of Hugging Face's CLIP models or of open_clip's own. A layer that the
    base's plugins do not have is left out where its B is zero, which changes nothing. Raises InvalidBranch, naming the
    layer, where it is not, and where no layer is known.
    """
    found: dict[str, SiteWeights] = {}
    for layer, parts in sorted(adapter.layers.items()):
        known = _known(layer, parts, base)
        for site, weights in known.items():
            if site in found:
                raise InvalidBranch(
                    f"{adapter.where} adapts {found[site].layer!r} and {layer!r}, which are one layer; give an adapter "
                    "of one model"
                )
            found[site] = weights
        if not known and ("B" not in parts or parts["B"].any()):
            raise InvalidBranch(
                f"{adapter.where} adapts {layer[:200]!r}, and a plugin of {base.facts.spec} has query, value and "
                "projection of the image tower alone; train an adapter of these"
            )
    if not found:
        raise InvalidBranch(f"{adapter.where} adapts no layer of {base.facts.spec}; give its own base with --base")
    return found


def names_in_models(found: Mapping[str, SiteWeights], base: BaseModule) -> Iterator[tuple[str, str]]:
    """Yield the base's sites with what a model calls them that the adapter may be of: one that has its layers."""
    theirs = {site: name for site in base.sites if (name := hugging_face_name(site)) is not None}
    alone = {site: name.removeprefix(_VISION) for site, name in theirs.items() if name.startswith(_VISION)}
    own = {site: own_place(base.visual, site).module for site in base.sites}
    layers = {one.layer for one in found.values()}
    for names in ({site: site for site in base.sites}, theirs, alone, own):
        if layers <= set(names.values()):
            yield from names.items()


def _known(layer: str, parts: Mapping[str, Tensor], base: BaseModule) -> dict[str, SiteWeights]:
    if layer in base.sites:
        return {layer: SiteWeights(layer, parts)}
    site = from_hugging_face(layer)
    if site is not None and site in base.sites and hugging_face_name(site) is not None:
        return {site: SiteWeights(layer, parts)}
    places = {site: own_place(base.visual, site) for site in base.sites}
    mine = {site: place for site, place in places.items() if place.module == layer}
    return _of_own(layer, parts, mine) if mine and {"A", "B"} == set(parts) else {}


def _of_own(layer: str, parts: Mapping[str, Tensor], places: Mapping[str, OwnPlace]) -> dict[str, SiteWeights]:
    """Return the sites that one parameter of open_clip's own model is; none where its keys change too."""
    up, down = parts["B"], parts["A"]
    first = next(iter(places.values()))
    if first.transposed:
        (site,) = places
        return {site: SiteWeights(layer, {"A": up.T.contiguous(), "B": down.T.contiguous()})}
    if first.third is None:
        (site,) = places
        return {site: SiteWeights(layer, parts)}
    if up.shape[0] % 3:
        return {}
    thirds = up.chunk(3)
    sites = {place.third: site for site, place in places.items()}
    if any(third.any() for index, third in enumerate(thirds) if index not in sites):
        return {}
    return {
        site: SiteWeights(layer, {"A": down, "B": thirds[third]}) for third, site in sites.items() if third is not None
    }
