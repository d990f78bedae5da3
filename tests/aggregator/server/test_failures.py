"""What a caller is told, and what the log says, where a call fails by no fault of the caller's."""

import logging

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from medforge.aggregator.server.failures import failure_of
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto.errors import ForgeFault


def test_a_database_that_is_gone_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    gone = OperationalError("SELECT", {}, ConnectionError("password=secret: terminating connection"))
    told = failure_of(gone, "Describe")
    assert isinstance(told, ForgeUnavailable)
    assert "cannot use its ledger just now" in str(told)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == "Describe failed: the ledger does not answer (ConnectionError)"
    assert record.exc_info is None


@pytest.mark.parametrize("error", [ValueError("a bug"), IntegrityError("INSERT", {}, ValueError("twice"))])
def test_what_nobody_expected_is_traced(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    told = failure_of(error, "Submit")
    assert isinstance(told, ForgeFault | ForgeUnavailable)
    (record,) = caplog.records
    assert (record.message, record.exc_info is not None) == ("Submit failed", True)


def test_a_callers_mistake_is_told_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    mistake = InvalidInput("no such thing")
    assert failure_of(mistake, "Status") is mistake
    assert caplog.records == []
