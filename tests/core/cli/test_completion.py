"""Completion, asked for as a shell asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def completions(line: str, word: int) -> list[str]:
    """What bash is offered for the given word of a line."""
    environment = os.environ | {
        "_MEDFORGE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(word),
    }
    done = subprocess.run([sys.executable, "-m", "medforge"], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "word", "offered"),
    [
        ("medforge con", 1, {"contribute", "contributors"}),
        ("medforge train --dis", 2, {"--distillation"}),
        ("medforge train --distillation d", 3, {"dm", "dm-dsa", "dc-dsa"}),
        ("medforge train --plugin ", 3, {"lora", "dora", "svd-lora"}),
        ("medforge train tis", 2, {"tissue:"}),
        ("medforge train --recipe ", 3, {"tiny", "paper", "demo"}),
        ("medforge serve --merge t", 3, {"ties"}),
        ("medforge simulate --merge med", 3, {"med-lego"}),
    ],
)
def test_names_and_values_complete(line: str, word: int, offered: set[str]) -> None:
    found = completions(line, word)
    assert offered <= set(found)
    typed = line.split(" ")[word]
    assert all(value.startswith(typed) for value in found)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_shown_for_the_shell_that_calls(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    from medforge.cli.completion import show

    assert "_MEDFORGE_COMPLETE" in show()
    assert f"complete_{shell}" in show()


def test_installing_writes_into_the_settings_of_the_shell(tmp_path: Path) -> None:
    script = (
        "import shellingham; shellingham.detect_shell = lambda: ('bash', '/bin/bash');"
        "from medforge.cli import main; main(['--install-completion'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("completion is installed in ")
    assert any("medforge" in file.read_text() for file in tmp_path.rglob("*") if file.is_file())
