"""Type a command, and read what it says."""

import pytest
from click.testing import CliRunner, Result

from medforge.cli.app import build_app
from medforge.errors import MedForgeError


def run(*words: object, stdin: str | None = None) -> Result:
    """Run a command in this process; it must end well."""
    result = CliRunner().invoke(build_app(), [str(word) for word in words], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def refused(*words: object) -> str:
    """Run a command that must be refused, and return the sentence."""
    with pytest.raises(MedForgeError) as caught:
        run(*words)
    return str(caught.value)
