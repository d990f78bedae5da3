"""What is asked of every command alike: it stands in a panel, explains itself, shows an example that works."""

import shlex
from collections import Counter

import click
import pytest
from click.testing import CliRunner

from medforge.cli.catalogue import PANELS, entries
from tests.core.cli.commands import APP, ENTRIES, NAMES, command, context, parent

# `serve` says nothing on stdout; it logs to stderr, as JSON with --log-format json
SILENT = {"serve"}
EXPECTED = {
    "Centre": {"contribute", "train", "distill", "commit", "audit", "push", "status", "doctor", "withdraw"},
    "Model": {"evaluate", "checkout", "methods", "predict"},
    "Maintainer": {
        "serve", "invite", "revoke", "contributors", "log", "accept", "reject", "revert", "replay", "fsck", "task"
    },
    "Research": {"simulate", "benchmark"},
}  # fmt: skip
WIDTHS = (60, 80, 110)


def words(text: str) -> list[str]:
    """The words of a help page, without the lines of its boxes and the ends of broken command lines."""
    return [word for word in click.unstyle(text).split() if word.strip("╭─╮│╰╯\\")]


def test_the_panels_hold_every_command_once() -> None:
    assert tuple(EXPECTED) == PANELS
    found = [(entry.panel, entry.name) for entry in entries()]
    assert len({name for _, name in found}) == len(found)
    for panel, names in EXPECTED.items():
        assert names <= {name for where, name in found if where == panel}


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_is_the_first_line_of_the_docstring(name: str) -> None:
    assert command(name).description[0] == ENTRIES[name].summary


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_commands_that_the_parser_takes(name: str) -> None:
    examples = command(name).examples
    assert examples
    for example in examples:
        program, *words = shlex.split(example)
        called, arguments = words[: len(name.split())], words[len(name.split()) :]
        assert (program, called) == ("medforge", name.split())
        parsed = command(name).make_context(name, arguments, parent=parent(name))
        assert not parsed.args


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_and_option_is_explained(name: str) -> None:
    for parameter in command(name).params:
        explanation = getattr(parameter, "help", None)
        assert explanation, parameter.name
        assert explanation.endswith((".", "…")), parameter.name
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            assert parameter.metavar, parameter.name


@pytest.mark.parametrize("name", NAMES)
def test_no_two_options_have_one_name(name: str) -> None:
    parameters = command(name).get_params(context(name))
    spelt = Counter(
        spelling for p in parameters if isinstance(p, click.Option) for spelling in p.opts + p.secondary_opts
    )
    assert [spelling for spelling, times in spelt.items() if times > 1] == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - SILENT))
def test_what_a_command_says_can_be_had_as_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in command(name).params)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_breaks_no_word(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = CliRunner().invoke(APP, [*name.split(), "--help"]).stdout
    assert all(len(line) <= columns for line in shown.splitlines()), shown
    available = Counter(words(shown))
    if name:
        wanted = [*command(name).description, *(getattr(p, "help", "") or "" for p in command(name).params)]
        wanted += [spelling for p in command(name).params for spelling in p.opts if spelling.startswith("--")]
        wanted += [p.metavar or "" for p in command(name).params if isinstance(p, click.Option)]
        wanted += command(name).examples
    else:
        wanted = [entry.summary for entry in APP.entries.values()] + list(APP.entries) + list(PANELS)
    missing = Counter(words(" ".join(wanted))) - available
    assert not missing
    # not even a box that a word pushed out of line
    assert all(line.endswith(("│", "╮", "╯")) for line in shown.splitlines() if line[:1] in "╭│╰" and line)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_option_is_answered_with_the_new_one(name: str) -> None:
    known = {spelling for parameter in command(name).params for spelling in parameter.opts}
    for old, new in ENTRIES[name].renamed.items():
        assert old not in known
        assert new in known
        with pytest.raises(click.UsageError, match=f"{old} is no option of {name} any more; give {new}"):
            command(name).make_context(name, [old, "x"], parent=parent(name))


def test_the_two_meanings_of_method_and_set_have_names_of_their_own() -> None:
    renamed = {name: ENTRIES[name].renamed for name in NAMES if ENTRIES[name].renamed}
    assert renamed["train"] == renamed["distill"] == renamed["contribute"]
    assert renamed["train"] == {"--method": "--distillation", "--set": "--recipe-set"}
    assert renamed["serve"] == {"--method": "--merge", "--set": "--policy"}
    assert renamed["simulate"] == {"--method": "--merge", "--set": "--recipe-set"}
