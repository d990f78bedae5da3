"""The merge methods that MedForge brings."""

from medforge.aggregator.merge.listing import Listing, Parameter

_HERE = "medforge.aggregator.merge"
_UNIFORM = ("layer", "uniform")
_ANY_ORDER = frozenset({_UNIFORM})
_SCALE = "what the merged weight change is multiplied by"

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
    "med-lego": Listing(
        module=f"{_HERE}.med_lego",
        item="plugin",
        summary="the largest singular values of the mean weight change, one SVD-LoRA plugin remains",
        source="Med-LEGO 2025",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
        parameters={
            "energy": Parameter(0.997, 0.01, 1.0, "share of the sum of singular values that is kept in every layer")
        },
    ),
    "factor-average": Listing(
        module=f"{_HERE}.factor_average",
        item="plugin",
        summary="the mean of all factors, one plugin remains",
        source="LoRA averaging",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
    ),
    "model-soup": Listing(
        module=f"{_HERE}.model_soup",
        item="mixture",
        summary="the mean of all weight changes",
        source="Wortsman et al. 2022, uniform soup",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
    ),
    "task-arithmetic": Listing(
        module=f"{_HERE}.task_arithmetic",
        item="mixture",
        summary="the sum of all weight changes, scaled",
        source="Ilharco et al. 2023",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
        parameters={"scale": Parameter(0.3, -10.0, 10.0, _SCALE)},
    ),
    "ties": Listing(
        module=f"{_HERE}.ties",
        item="weights",
        summary="weight changes are trimmed, a sign is elected for every entry, and what agrees with it is averaged",
        source="Yadav et al. 2023",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
        parameters={
            "density": Parameter(0.2, 0.0001, 1.0, "share of every plugin's entries that is kept, the largest"),
            "scale": Parameter(1.0, -10.0, 10.0, _SCALE),
        },
    ),
    "dare": Listing(
        module=f"{_HERE}.dare",
        item="weights",
        summary="entries are dropped at random and the rest made up for it, then all are summed and scaled",
        source="Yu et al. 2024, with task arithmetic",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
        parameters={
            "drop": Parameter(0.5, 0.0, 0.999, "probability with which an entry is dropped"),
            "scale": Parameter(0.3, -10.0, 10.0, _SCALE),
        },
    ),
    "pem": Listing(
        module=f"{_HERE}.pem",
        item="plugin",
        summary="the mean of every factor on its own, one plugin of the same kind remains",
        source="Zhang et al. 2023, parameter-efficient modules",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
    ),
    "magmax": Listing(
        module=f"{_HERE}.magmax",
        item="weights",
        summary="of every entry, the weight change of largest magnitude, scaled",
        source="Marczak et al. 2024",
        modes=(_UNIFORM,),
        distilled=False,
        any_order=_ANY_ORDER,
        parameters={"scale": Parameter(0.5, -10.0, 10.0, _SCALE)},
    ),
}
