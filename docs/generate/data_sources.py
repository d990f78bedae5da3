"""docs/reference-data-sources.md, from the catalogue of sources."""

from docs.generate.markdown import cell, code, notice, page, table
from medforge.client.data.catalogue import SOURCES

_INTRODUCTION = """
Where a centre's images come from, written `NAME:PATH[,option=value]*`: `folder:/data/mammography`,
`breakhis:PATH,magnification=100X`. `medforge sources` prints the same. A package can bring more
([how to add one](how-to-add-a-data-source.md)).
"""

_NOTES = """
- `folder` wants `train/` and `test/`, one folder a class in each; the folders' names are the class prompts,
  unless a file `prompts.txt` gives them. A validation split is cut from `train/`. `groups=groups.csv` names a table
  of `path` and `group` (a patient, a lesion): no group is then in two splits, or at two sites of a division.
- LC25000 is split by source tile where `groups.csv` says which images share one, BreakHis by patient,
  `nih-cxr14` as published (by patient without its lists), `oai-knee` as published or by patient
  (`oai-knee:PATH,split=patient`).
- `nih-cxr14`, `medmnist:chestmnist` and `findings:chest` are multi-label: each finding is told by a pair of
  prompts, accuracy is the mean over images and findings, AUC the mean over findings. They can be trained,
  evaluated and merged without distilled data (`medforge benchmark lego-domain`), but not distilled, committed
  or pushed: a distilled image has one class.
- Splits depend on the seed and on the data alone. `threads=N` bounds the decoding threads of every source.
- `part=2/4,by=WAY` opens what the second of four sites has of any source, divided by `iid`, `dirichlet:ALPHA`,
  `missing-class` or `look`: see
  [several centres with one question](how-to-simulate-several-centres-with-one-question.md).
"""


def build() -> str:
    """Return the page, of built-in sources alone: what is installed beside them is not of this repository."""
    rows = []
    for name in sorted(SOURCES.built_in()):
        found = SOURCES.find(name)
        options = ", ".join(code(option) for option in found.options)
        words = ", ".join(code(word) for word in found.words or ())
        rows.append((code(name), cell(found.about), options, words))
    head = ("source", "", "options", "instead of a path")
    return page(notice("the catalogue"), "# Data sources", _INTRODUCTION, table(head, rows), _NOTES)
