"""The merge methods that MedForge brings."""

from medforge.aggregator.merge.listing import ItemKind, Listing, Parameter

_HERE = "medforge.aggregator.merge.methods"
_UNIFORM = ("layer", "uniform")
_SCALE = "what the merged weight change is multiplied by"


def _from_plugins(module: str, item: ItemKind, summary: str, source: str, **parameters: Parameter) -> Listing:
    """Describe a method that needs plugins alone, and gives the same for every order of them."""
    return Listing(
        module=f"{_HERE}.{module}",
        item=item,
        summary=summary,
        source=source,
        modes=(_UNIFORM,),
        distilled=False,
        any_order=frozenset({_UNIFORM}),
        parameters=parameters,
    )


LISTINGS: dict[str, Listing] = {
    "fusion": Listing(
        module=f"{_HERE}.fusion",
        item="plugin",
        summary="factors are weighted and added, one plugin remains",
        source="MedForge 2025",
        modes=(("layer", "sequential"),),
        distilled=True,
        reference=frozenset({("layer", "sequential")}),
    ),
    "mixture": Listing(
        module=f"{_HERE}.mixture",
        item="mixture",
        summary="outputs are weighted and added, plugins stay as they are",
        source="MedForge 2025; joint and gated are ours",
        modes=(
            ("output", "gated"),
            ("output", "joint"),
            ("output", "sequential"),
            ("layer", "sequential"),
            ("layer", "joint"),
        ),
        distilled=True,
        any_order=frozenset({("output", "gated"), ("output", "joint"), ("layer", "joint")}),
        reference=frozenset({("output", "sequential"), ("layer", "sequential")}),
    ),
    "lorahub": Listing(
        module=f"{_HERE}.lorahub",
        item="plugin",
        summary="factors are weighted and added, all at once at every arrival, one plugin remains",
        source="Huang et al. 2023, on distilled data",
        modes=(("layer", "joint"),),
        distilled=True,
        any_order=frozenset({("layer", "joint")}),
        reference=frozenset({("layer", "joint")}),
        defaults={"start": 0.0},
    ),
    "med-lego": _from_plugins(
        "med_lego",
        "plugin",
        "the largest singular values of the mean weight change, one SVD-LoRA plugin remains",
        "Med-LEGO 2025",
        energy=Parameter(0.997, 0.01, 1.0, "share of the sum of singular values that is kept in every layer"),
    ),
    "factor-average": _from_plugins(
        "factor_average",
        "plugin",
        "the mean of all factors, one plugin remains",
        "LoRA averaging",
    ),
    "model-soup": _from_plugins(
        "model_soup",
        "mixture",
        "the mean of all weight changes",
        "Wortsman et al. 2022, uniform soup",
    ),
    "task-arithmetic": _from_plugins(
        "task_arithmetic",
        "mixture",
        "the sum of all weight changes, scaled",
        "Ilharco et al. 2023",
        scale=Parameter(0.3, -10.0, 10.0, _SCALE),
    ),
    "ties": _from_plugins(
        "ties",
        "weights",
        "weight changes are trimmed, a sign is elected for every entry, and what agrees with it is averaged",
        "Yadav et al. 2023",
        density=Parameter(0.2, 0.0001, 1.0, "share of every plugin's entries that is kept, the largest"),
        scale=Parameter(1.0, -10.0, 10.0, _SCALE),
    ),
    "dare": _from_plugins(
        "dare",
        "weights",
        "entries are dropped at random and the rest made up for it, then all are summed and scaled",
        "Yu et al. 2024, with task arithmetic",
        drop=Parameter(0.5, 0.0, 0.999, "probability with which an entry is dropped"),
        scale=Parameter(0.3, -10.0, 10.0, _SCALE),
    ),
    "pem": _from_plugins(
        "pem",
        "plugin",
        "the mean of every factor on its own, one plugin of the same kind remains",
        "Zhang et al. 2023, parameter-efficient modules",
    ),
    "magmax": _from_plugins(
        "magmax",
        "weights",
        "of every entry, the weight change of largest magnitude, scaled",
        "Marczak et al. 2024",
        scale=Parameter(0.5, -10.0, 10.0, _SCALE),
    ),
}
