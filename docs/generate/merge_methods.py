"""docs/reference-merge-methods.md, from the methods' own listings."""

from docs.generate.markdown import cell, code, heading_anchors, notice, page, table
from medforge.aggregator.merge import Listing, built_in, listing_of

_INTRODUCTION = """
Every merge method that MedForge brings, as its listing describes it; `medforge methods` prints the same, with
those of installed packages ([how to add one](how-to-add-a-merge-method.md)). What the words mean, and which
method to take: [merging](explanation-merging.md).

*Level* says what is weighed: the class probabilities of each plugin (output), or the weights of the network
(layer). A method *needs images* where it searches coefficients, measures layers or trains on the branches'
distilled data; the others need plugins alone. Where the result depends on *no order*, every order of arrival
gives the same forge item to the byte. *Passes* are forward passes an image, of a main branch of N branches.
Under the defaults *an arrival costs* the same at every N, or in proportion to N: to their plugins, or to their
images too ([measured](results/scale.md)).
"""


def build() -> str:
    """Return the page, of built-in methods alone: what is installed beside them is not of this repository."""
    listings = {name: listing_of(name) for name in built_in()}
    anchors = heading_anchors(listings)
    rows = [
        (
            f"[`{name}`](#{anchors[name]})" if place == 0 else "",
            f"{level}, {coefficients}{' (default)' if place == 0 and len(listing.modes) > 1 else ''}",
            "yes" if listing.distilled else "no",
            "yes" if (level, coefficients) in listing.any_order else "no",
            listing.passes((level, coefficients)),
            listing.withdrawal((level, coefficients)),
            listing.arrival if place == 0 else "",
        )
        for name, listing in listings.items()
        for place, (level, coefficients) in enumerate(listing.modes)
    ]
    head = (
        "method",
        "level, coefficients",
        "needs images",
        "no order",
        "passes",
        "a branch leaves",
        "an arrival costs",
    )
    sections = [_section(name, listing) for name, listing in listings.items()]
    return page(notice("the methods' listings"), "# Merge methods", _INTRODUCTION, table(head, rows), *sections)


def _section(name: str, listing: Listing) -> str:
    kinds = {
        "plugin": "one plugin",
        "mixture": "a mixture of plugins",
        "weights": "dense weights",
        "routed": "an expert for each task, and a router",
    }
    differs = ", ".join(f"{key} {value:g}" for key, value in listing.defaults.items())
    rows = [
        (code(parameter), f"{value.default:g}", f"{value.low:g} to {value.high:g}", cell(value.meaning))
        for parameter, value in listing.parameters.items()
    ]
    return page(
        f"## {name}",
        f"{_sentence(listing.summary)} Source: {_sentence(listing.source)} It makes {kinds[listing.item]}."
        + (f" Its search differs in its defaults: {differs}." if differs else ""),
        table(("parameter", "default", "range", ""), rows) if rows else "",
    )


def _sentence(text: str) -> str:
    text = cell(text)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
