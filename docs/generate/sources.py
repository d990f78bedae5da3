"""docs/reference-sources.md, from the catalogue of sources."""

from docs.generate.markdown import cell, code, notice, page, table
from medforge.client.data.catalogue import SOURCES
from medforge.client.data.registration import Source

_INTRODUCTION = """
Where a centre's images come from, written `NAME:PATH[,option=value]*`: `folder:/data/mammography`,
`breakhis:PATH,magnification=100X`. `medforge sources` lists them. A package can bring more
([how to add one](how-to-add-a-data-source.md)).
"""

_NOTES = """
## All sources

- Splits depend on the seed and on the data alone. `threads=N` bounds the decoding threads of every source.
- `part=2/4,by=WAY` opens what the second of four sites has of any source, divided by `iid`, `dirichlet:ALPHA`,
  `missing-class` or `look`: see
  [several centres with one question](how-to-simulate-several-centres-with-one-question.md).
- Multi-label tasks (`nih-cxr14`, `medmnist:chestmnist`, `findings:chest`, a `table` with several labels) tell each
  finding by a pair of prompts; accuracy is the mean over images and findings, AUC the mean over findings. They can be
  trained, evaluated and merged without distilled data (`medforge benchmark lego-domain`), but not distilled, committed
  or pushed: a distilled image has one class.
- Two classes whose prompts a model cannot tell apart (`no tumor` and `no_tumor`), and prompts that only number their
  class (`0`, `class 1`), are refused, unless a declared task gives the classes other prompts.
"""


def build() -> str:
    """Return the page, of built-in sources alone: what is installed beside them is not of this repository."""
    sources = [SOURCES.find(name) for name in sorted(SOURCES.built_in())]
    rows = [(f"[{code(source.name)}](#{source.name})", cell(source.about)) for source in sources]
    return page(
        notice("the catalogue"),
        "# Data sources",
        _INTRODUCTION,
        table(("source", ""), rows),
        *map(_section, sources),
        _NOTES,
    )


def _section(source: Source) -> str:
    """Return what one source says of itself."""
    options = ", ".join(map(code, source.options))
    words = ", ".join(map(code, source.words or ()))
    return page(
        f"## {source.name}",
        f"{source.about[0].upper()}{source.about[1:]}.",
        f"Instead of a path: {words}." if words else "",
        f"Options: {options}." if options else "",
        source.reads,
        f"Refused: {source.refuses}" if source.refuses else "",
    )
