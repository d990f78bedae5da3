"""The how-tos show the example packages whole, and as they are."""

import re
from pathlib import Path

import pytest

from tests.third_parties import EXAMPLES

ROOT = EXAMPLES.parent
SHOWN = re.compile(r"^<!-- (examples/\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "package"),
    [("how-to-add-a-merge-method.md", "merge-method"), ("how-to-add-a-data-source.md", "data-source")],
)
def test_a_how_to_shows_every_file_of_its_package(page: str, package: str) -> None:
    shown = dict(SHOWN.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))
    files = [path for path in (EXAMPLES / package).iterdir() if path.suffix in (".py", ".toml")]
    assert shown == {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    (module,) = [Path(path) for path in shown if path.endswith(".py")]
    assert len(shown[str(module)].splitlines()) <= 40
