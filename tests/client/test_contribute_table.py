"""A published label table and its images become a branch in one command."""

from pathlib import Path

from medforge.branch import Branch
from tests.client.data.sources.test_table import complete
from tests.client.test_cli import options, run


def test_images_that_a_published_table_names_become_a_branch(shared_data: Path, tmp_path: Path, tiny_spec: str) -> None:
    source = complete(shared_data / "layouts", tmp_path, "HAM10000_metadata.csv")
    place = tmp_path / "work"
    run("contribute", source, "--workspace", place, "--no-push", "--base", tiny_spec, "--threads", 1, *options())
    branch = Branch.load(place / "branch")
    assert branch.manifest.prompts == ("bkl", "mel", "nv")
    # lesions and images are the site's own: nothing of the table is in what would be sent
    sent = b"".join(path.read_bytes() for path in (place / "branch").rglob("*") if path.is_file())
    assert b"ISIC_" not in sent
    assert b"HAM_" not in sent
