"""A mistake in a command ends with one sentence at once, and leaves nothing behind: `simulate` and `benchmark`."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from medforge.cli import build_app
from medforge.errors import MedForgeError
from tests.simulation.waiting import PATIENCE

# computing time, since the clock says more about who else computes on this machine
SECONDS_EACH = 3.0
NO_SUCH = ["--centre", "brain=folder:/no/such"]
MISTAKES = [
    (NO_SUCH, "--centre brain: folder: /no/such does not exist; check the path"),
    (["--centre", "brain=scans:x"], "unknown source 'scans'"),
    (["--centre", "brain=tissue:liver"], "tissue: there is no 'liver'; choose one of breast, lung, colon"),
    (["--centre", "brain=tissue:lung,speed=2"], "tissue: there is no option 'speed'"),
    (["--centre", "brain=tissue:lung,train=zero"], "--centre brain: tissue: option train=zero must be a whole number"),
    (["--centre", "brain=tissue:lung,train=-1"], "--centre brain: tissue: option train=-1 must be a whole number"),
    (["--base", "ViT-B-16/nope"], "open_clip has no weights 'nope' for ViT-B-16"),
    (["--base", "nope"], "base module 'nope' is not of a known form; write medforge-tiny, "),
    (["--base", "ViT-B-16:/no/such.pt"], "checkpoint /no/such.pt does not exist"),
    (["--base", "ViT-X/openai"], "open_clip has no architecture 'ViT-X'"),
    (["--device", "toaster"], "device 'toaster' is not available on this machine; use --device auto or cpu"),
    (["--dtype", "fp64"], "dtype 'fp64' is not known; choose one of fp32, bf16"),
    (["--recipe", "huge"], "huge"),
]  # fmt: skip


def computed() -> float:
    """Return the processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("command", [("simulate",), ("benchmark", "table1")], ids=" ".join)
@pytest.mark.parametrize(
    ("options", "sentence"), MISTAKES, ids=lambda value: value[:30] if isinstance(value, str) else " ".join(value)
)
def test_nothing_is_written_before_it_is_looked_at(
    command: tuple[str, ...], options: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(MedForgeError) as caught:
        build_app()([*command, *options, "--out", str(tmp_path / "out")], standalone_mode=False)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_real_commands_end_at_once_with_one_sentence(tmp_path: Path) -> None:
    """One sentence on stderr, status 2, nothing written, and no process left behind."""
    commands = (["simulate"], ["benchmark", "table1"])
    before = computed()
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "medforge", *words, *NO_SUCH, "--out", words[0]],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for words in commands
    ]  # fmt: skip
    said = [run.communicate(timeout=PATIENCE) for run in runs]
    assert computed() - before < SECONDS_EACH * len(runs)
    assert [run.returncode for run in runs] == [2, 2]
    for stdout, stderr in said:
        assert stdout == ""
        assert "/no/such does not exist; check the path" in stderr
        assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_that_needs_more_tasks_leaves_nothing(tmp_path: Path) -> None:
    words = ["benchmark", "lego-transfer", "--centre", "lung=tissue:lung", "--out", str(tmp_path / "out")]
    with pytest.raises(
        MedForgeError, match="lego-transfer merges the plugins of all tasks but one; give at least 2 --centre"
    ):
        build_app()(words, standalone_mode=False)
    assert not (tmp_path / "out").exists()
