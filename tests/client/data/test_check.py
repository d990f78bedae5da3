"""What is refused before anything is opened."""

from pathlib import Path

import pytest

from medforge.client.data.catalogue import check_source, resolve_source, same_source
from medforge.errors import InvalidInput
from tests.client.tasks import write_folder


def test_what_is_there_passes(tmp_path: Path) -> None:
    plain, odd = write_folder(tmp_path / "plain", 4, 2), write_folder(tmp_path / "a, b=c", 4, 2)
    for source in (f"folder:{plain}", f"folder:{odd},threads=2", "tissue:lung,train=24"):
        check_source(source)
    check_source("medmnist:pneumoniamnist,size=28")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("slides:x", "slides"),
        ("folder", "is not of the form NAME:PATH"),
        ("folder:no/such", "folder: no/such does not exist; check the path"),
        ("folder:.,speed=2", "folder: there is no option 'speed'"),
        ("folder:.,threads=none", "threads=none must be a whole number"),
        ("tissue:liver", "tissue: there is no 'liver'; choose one of breast, lung, colon"),
        ("findings:spine", "findings: there is no 'spine'; choose one of chest"),
        ("medmnist:no/such.npz", "medmnist: there is no 'no/such.npz'; choose one of"),
    ],
)
def test_what_is_not_there_gets_a_sentence(source: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check_source(source)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["tissue", "findings"])
def test_every_word_that_passes_can_be_opened(name: str) -> None:
    from medforge.client.data.catalogue import open_task

    with pytest.raises(InvalidInput) as error:
        check_source(f"{name}:nothing")
    for word in str(error.value).partition("choose one of ")[2].removesuffix(", or check the path").split(", "):
        check_source(f"{name}:{word}")
        assert open_task(f"{name}:{word},train=24,validation=8,test=8", 32).prompts


@pytest.mark.parametrize("source", ["tissue:lung,train=24", "findings:chest", "medmnist:pneumoniamnist"])
def test_a_word_is_no_path_where_a_directory_has_its_name(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_source(source) == source
    # as after `medforge contribute tissue:lung --workspace lung`
    (tmp_path / source.partition(":")[2].partition(",")[0]).mkdir()
    check_source(source)
    assert resolve_source(source) == source
    assert same_source(source, f"{source},threads=2")


def test_paths_in_options_mean_the_same_in_every_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_folder(tmp_path / "images", 4, 2)
    for place in (tmp_path / "near.csv", images / "inner.csv"):
        place.write_text("path,group\n")
    monkeypatch.chdir(tmp_path)
    assert resolve_source("folder:images,groups=near.csv") == f"folder:{images},groups={tmp_path / 'near.csv'}"
    assert resolve_source("folder:images,groups=inner.csv") == f"folder:{images},groups=inner.csv"
    assert resolve_source("folder:images,groups=none") == f"folder:{images},groups=none"
