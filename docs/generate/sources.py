"""docs/reference-sources.md, from the catalogue of sources."""

from docs.generate.markdown import cell, code, notice, page, table
from medforge.client.data.catalogue import SOURCES
from medforge.client.data.pixels.formats import IMAGE_SUFFIXES
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

_PICTURES = """
## Image files

What `folder`, `table` and the published sets read, and `medforge predict` too. What a file is, its content says; its
name must end in one of {suffixes}.

- **One picture a file**, by Pillow: JPEG, PNG, TIFF, BMP, GIF, WebP, PNM, and JPEG 2000 and AVIF where the installed
  Pillow has them. Animations and stacks are refused; the previews in a multi-picture JPEG are not.
- **8 bits a channel** or fewer, in any mode, become RGB: palettes, grey, 1 bit, YCbCr; CMYK as (1 − C)(1 − K), also
  Adobe's inverted and YCCK; L\\*a\\*b\\* as sRGB. What is transparent lies on black: colour times alpha. Embedded
  colour profiles, gamma and HDR metadata are not applied; AVIF of 10 or 12 bits is taken at its highest 8.
- **Upright**: EXIF's orientation, also of PNG, WebP and TIFF, and the turn of an AVIF file, are applied.
- **More than 8 bits** (grey and colour PNG, TIFF of 12, 16 and 32 bits, signed ones and floats, PNM, grey JPEG 2000)
  need a window, else they are refused; pictures of 8 bits are never changed by one, so that both may lie in one folder:
  - `window=CENTRE,WIDTH`: from CENTRE − WIDTH/2 (black) to CENTRE + WIDTH/2 (white) in the file's own values.
  - `window=full`: the whole range of the type, as 0 to 65535, or to 4095 where the file says 12 bits; not for floats
    and 32 bits.
  - `window=auto`: from the 0.5th to the 99.5th percentile of each picture's values, all channels together.

  Values between are rounded to the nearest of 255; what is not a number is black; TIFF's *white is zero* is turned
  after the window.
- **At most 180 million pixels**, which the header says before anything is decoded; `megapixels=N` allows more or fewer.
- **Refused with what they are**: JPEG of 12 bits, JPEG-LS, colour JPEG 2000 of more than 8 bits, 16-bit TIFF
  with channels in planes, CMYK of 16 bits, DICOM, NIfTI, HEIC, JPEG XL, PDF, empty and truncated files, text.

## Names

Files, folders and roots may have any name; class folders (and prompts) any that can be shown. A name that is not
UTF-8 is written with escapes, as `caf\\udce9.png`; as a class's or a root's it is refused, as are control characters
and marks that turn the direction of text.
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
        _PICTURES.format(suffixes=", ".join(map(code, sorted(IMAGE_SUFFIXES)))),
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
