"""Write the generated pages, or with ``--check`` say which of them have drifted."""

import sys
from pathlib import Path

from docs.generate import api, cli, dicom_files, merge_methods, recipes, sources

DOCS = Path(__file__).resolve().parents[1]
PAGES = {
    "reference-api.md": api.build,
    "reference-cli.md": cli.build,
    "reference-merge-methods.md": merge_methods.build,
    "reference-recipes.md": recipes.build,
    "reference-sources.md": sources.build,
    "results/dicom-test-files.md": dicom_files.build,
}


def drifted() -> list[str]:
    """Name the pages that are not what would be generated now."""
    return [name for name, build in PAGES.items() if not _is(DOCS / name, build())]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """Run the command."""
    found = drifted()
    if "--check" in sys.argv[1:]:
        print(f"drifted: {', '.join(found)}; run `make docs`" if found else "the generated pages are up to date")
        return int(bool(found))
    for name in found:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
