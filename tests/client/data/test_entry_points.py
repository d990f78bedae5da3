"""Packages that bring data sources: what is broken, clashes or misbehaves gets one sentence that names the package."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.client.data.catalogue import SOURCES, check_source, names, open_task
from medforge.client.data.registration import data_source
from medforge.errors import InvalidInput
from medforge.registry import Defect
from tests.third_parties import install, medforge, seen

SOURCES_MODULE = """
from dataclasses import replace

from medforge.client.data.registration import data_source
from medforge.client.data.sources.tissue import open_tissue
from medforge.errors import InvalidInput


@data_source(name="good", about="tissue under another name", options=("train", "validation", "test"), words=("lung",))
def good(request):
    return open_tissue(request)


@data_source(name="anything", about="what is asked for is no path", words=None)
def anything(request):
    raise InvalidInput(f"anything: {request.place} is not to be had today; ask again tomorrow")


@data_source(name="failing", about="", words=None)
def failing(request):
    return {}["nothing"]


@data_source(name="leaving", about="", words=None)
def leaving(request):
    raise SystemExit(4)


@data_source(name="no-task", about="", words=None)
def no_task(request):
    return "a task"


@data_source(name="leaky", about="", words=None)
def leaky(request):
    task = open_tissue(replace(request, place="lung"))
    return replace(task, test=task.train)


@data_source(name="folder", about="")
def folder(request):
    raise AssertionError("a built-in name cannot be taken")


@data_source(name="twice", about="")
def twice(request):
    return None


def plain(request):
    return None
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"

[project.entry-points."medforge.data_sources"]
{points}

[tool.setuptools]
py-modules = [{modules}]
"""
POINTS = """
good = "manysources:good"
anything = "manysources:anything"
failing = "manysources:failing"
leaving = "manysources:leaving"
no-task = "manysources:no_task"
leaky = "manysources:leaky"
folder = "manysources:folder"
twice = "manysources:twice"
plain = "manysources:plain"
renamed = "manysources:good"
broken = "brokensource:opener"
gone = "manysources:gone"
"""


def make(source: Path, name: str, version: str, points: str, files: dict[str, str]) -> Path:
    source.mkdir()
    modules = ", ".join(f'"{Path(file).stem}"' for file in files)
    (source / "pyproject.toml").write_text(PROJECT.format(name=name, version=version, points=points, modules=modules))
    for file, content in files.items():
        (source / file).write_text(content)
    return source


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("third-parties")
    files = {"manysources.py": SOURCES_MODULE, "brokensource.py": "import a_module_that_nobody_has\n"}
    many = make(directory / "one", "medforge-many", "1.2", POINTS, files)
    other = make(directory / "two", "medforge-other", "0.1", 'twice = "othersource:twice"', {"othersource.py": ""})
    install(directory / "site", many, other)
    return directory / "site"


@pytest.fixture
def installed(site: Path) -> Iterator[None]:
    with seen(site):
        yield


@pytest.mark.usefixtures("installed")
def test_a_source_of_a_package_opens_like_any_other() -> None:
    source = "good:lung,train=24,validation=9,test=9"
    check_source(source)
    assert (
        open_task(source, 32).train.images.names == open_task(source.replace("good", "tissue"), 32).train.images.names
    )
    assert SOURCES.provider("good") == {"medforge-many": "1.2"}
    with pytest.raises(InvalidInput, match="good: there is no 'liver'; choose one of lung, or check the path"):
        check_source("good:liver")
    check_source("anything:https://example.org/study?id=1")
    with pytest.raises(InvalidInput, match="^anything: a place is not to be had today; ask again tomorrow$"):
        open_task("anything:a place", 32)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("gone", "AttributeError: .*gone"),
        ("plain", "manysources:plain is no data source; decorate it with data_source"),
        ("renamed", "manysources:good calls itself 'good'; name the entry point so"),
    ],
)
def test_a_package_that_cannot_be_used_gives_one_sentence(name: str, reason: str) -> None:
    assert name in names()
    sentence = rf"data source '{name}' of medforge-many 1.2 cannot be used \({reason}.*\); mend or uninstall that"
    for opener in (check_source, lambda source: open_task(source, 32)):
        with pytest.raises(InvalidInput, match=sentence) as error:
            opener(f"{name}:lung")
        assert "\n" not in str(error.value)


@pytest.mark.usefixtures("installed")
def test_two_packages_with_one_name_are_both_named() -> None:
    sentence = r"'twice' of medforge-many 1.2 and medforge-other 0.1 cannot be used \(more than one package gives a"
    with pytest.raises(InvalidInput, match=sentence):
        check_source("twice:lung")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("failing", "KeyError: 'nothing'"),
        ("leaving", "SystemExit: 4"),
        ("no-task", "it opens no Task but str"),
        ("leaky", "its image lung/00000 is in train and in test"),
    ],
)
def test_a_source_that_misbehaves_gives_one_sentence(name: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"'{name}' of medforge-many 1.2 cannot be used \({reason}\)"):
        open_task(f"{name}:lung", 32)


@pytest.mark.usefixtures("installed")
def test_a_built_in_name_cannot_be_taken(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="folder: the folder .*gone does not exist; check the path"):
        open_task(f"folder:{tmp_path / 'gone'}", 32)
    everything = SOURCES.everything()
    assert everything["folder of medforge-many 1.2"] == Defect("a data source that is built in has this name")
    assert SOURCES.provider("folder") == {}


def test_the_command_refuses_with_a_sentence_and_makes_no_workspace(site: Path, tmp_path: Path) -> None:
    done = medforge(site, "train", "broken:lung", "--workspace", str(tmp_path / "work"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "data source 'broken' of medforge-many 1.2 cannot be used" in " ".join(done.stderr.split())
    assert not (tmp_path / "work").exists()


def test_the_command_lists_what_is_installed_and_what_is_broken(site: Path) -> None:
    done = medforge(site, "sources", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert set(SOURCES.built_in()) <= set(entries)
    assert entries["good"] == {
        "name": "good",
        "about": "tissue under another name",
        "options": ["train", "validation", "test", "by", "part", "threads", "leaks"],
        "words": ["lung"],
        "package": {"medforge-many": "1.2"},
    }
    assert entries["folder"]["package"] == {}
    assert entries["folder of medforge-many 1.2"]["broken"] == "a data source that is built in has this name"
    assert "a_module_that_nobody_has" in entries["broken"]["broken"]
    table = " ".join(medforge(site, "sources").stdout.split())
    assert "tissue under another name (from medforge-many 1.2)" in table
    assert "cannot be used: ModuleNotFoundError" in table


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("a:b", (), "a data source cannot be named 'a:b'"),
        ("Upper", (), "cannot be named"),
        ("x", ("a=b",), "x: an option cannot be named 'a=b'"),
        ("x", ("threads",), "x: an option cannot be named 'threads'"),
    ],
)
def test_a_decoration_that_nobody_could_type_is_a_mistake(name: str, options: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        data_source(name=name, about="", options=options)
