"""The processes of a run, forked from the server and as fresh interpreters."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.base import load_base
from medforge.faults import VARIABLE
from medforge.simulation import child as child_module
from medforge.simulation.launcher import Launcher
from medforge.simulation.linux import wait_for_any

PATIENCE = 60.0
RUN = """
import sys, time
from pathlib import Path
from medforge.simulation.launcher import Launcher

with Launcher(forking=sys.argv[1] == "forked") as launcher:
    child = launcher.start(sys.argv[3:], Path(sys.argv[2]))
    print(child.pid, launcher._server.pid if launcher._server else child.pid, flush=True)
    time.sleep(600)
"""
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is tested is Linux's")


@pytest.fixture(scope="module")
def forked() -> Iterator[Launcher]:
    """Start processes from a server; its imports take seconds."""
    with Launcher() as made:
        made.warm_up()
        yield made


@pytest.fixture(params=[pytest.param("forked", marks=needs_linux), "fresh"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    made: Launcher = request.getfixturevalue("forked") if request.param == "forked" else Launcher(forking=False)
    return made


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_the_end_of_one_of_several_is_waited_for(seconds: float) -> None:
    began = time.monotonic()
    with subprocess.Popen(["sleep", "600"]) as lasting, subprocess.Popen(["sleep", str(seconds and 0.2)]) as short:
        wait_for_any([lasting.pid, short.pid], seconds)
        # one that has ended and was not waited for is no reason to wait
        short.wait() if seconds == 0 else wait_for_any([lasting.pid, short.pid], 60)
        assert lasting.poll() is None
        lasting.kill()
    assert time.monotonic() - began < 30
    wait_for_any([], 0.01)


def wait_until(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Say whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


@needs_linux
def test_a_process_leads_its_group_appends_to_its_log_and_keeps_the_lock(
    launcher: Launcher, tiny_spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs" / "aggregator.log"
    log.parent.mkdir()
    log.write_text("of an earlier process\n")
    held = lock(tmp_path / "lock")
    # the environment is that of this moment, not of when the server was started
    monkeypatch.setenv(VARIABLE, "starting=freeze")
    serve = ["serve", "--forge", str(tmp_path / "forge"), "--base", tiny_spec, "--listen", "127.0.0.1:0"]
    child = launcher.start(serve, log, keep=(held,))
    os.close(held)
    wait_until(lambda: child.poll() is not None or "fault: freeze at 'starting'" in child.tail())
    assert child.poll() is None, child.tail()
    assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid != os.getsid(0)
    began_with = Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"MKL_NUM_THREADS=1", b"OPENBLAS_NUM_THREADS=1"} <= set(began_with)
    streams = [Path(f"/proc/{child.pid}/fd/{number}").readlink() for number in range(3)]
    assert streams == [Path(os.devnull), log, log]
    assert log.read_text().startswith("of an earlier process\n")
    assert "of an earlier process" not in child.tail()
    with pytest.raises(BlockingIOError):
        lock(tmp_path / "lock")
    # frozen, it does not end when it is asked to
    monkeypatch.setattr(child_module, "GRACE_SECONDS", 0.1)
    child.stop()
    assert child.poll() == -signal.SIGKILL
    os.close(lock(tmp_path / "lock"))


def test_a_process_s_status_and_last_words_are_known(launcher: Launcher, tmp_path: Path) -> None:
    wrong = launcher.start(["serve", "--no-such-option"], tmp_path / "log")
    wait_until(lambda: wrong.poll() is not None)
    right = launcher.start(["--version"], tmp_path / "log")
    wait_until(lambda: right.poll() is not None)
    assert (wrong.poll(), right.poll()) == (2, 0)
    assert "no such option '--no-such-option'" in wrong.tail()
    assert "no such option" not in right.tail()
    assert right.tail()
    right.signal(signal.SIGTERM)


@needs_linux
@pytest.mark.parametrize("way", ["forked", "fresh"])
def test_nothing_outlives_a_killed_run(way: str, tmp_path: Path) -> None:
    serve = ["serve", "--forge", str(tmp_path / "forge"), "--base", "medforge-tiny", "--listen", "127.0.0.1:0"]
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, way, str(tmp_path / "log"), *serve], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pids = [int(word) for word in run.stdout.readline().split()]
    assert pids
    assert not any(gone(pid) for pid in pids)
    run.kill()
    run.wait()
    wait_until(lambda: all(gone(pid) for pid in pids))
    run.stdout.close()


@needs_linux
def test_a_process_that_the_run_has_not_heard_of_does_nothing(forked: Launcher, tmp_path: Path) -> None:
    assert forked._server is not None
    ours, theirs = socket.socketpair()
    with ours, theirs, (tmp_path / "log").open("ab") as output:
        socket.send_fds(forked._server._control, [b"+"], [theirs.fileno(), output.fileno()])
        ours.sendall(json.dumps({"arguments": ["--version"], "environment": dict(os.environ)}).encode() + b"\n")
        with ours.makefile("rb") as answers:
            pid = int(answers.readline())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert (tmp_path / "log").read_bytes() == b""


@needs_linux
def test_a_killed_server_takes_nothing_along_and_the_run_does_without_it(
    forked: Launcher, tiny_spec: str, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    serve = ["serve", "--forge", str(tmp_path / "forge"), "--base", tiny_spec, "--listen", "127.0.0.1:0"]
    child = forked.start([*serve, "--ready-file", str(ready)], tmp_path / "log")
    assert forked._server is not None
    os.kill(forked._server.pid, signal.SIGKILL)
    fresh = forked.start(["--version"], tmp_path / "fresh")
    wait_until(lambda: fresh.poll() is not None)
    assert fresh.poll() == 0, fresh.tail()
    wait_until(lambda: ready.exists() or child.poll() is not None)
    assert child.poll() is None, child.tail()
    child.stop()
    assert child.poll() == 0, child.tail()


@needs_linux
def test_a_process_serves_on_the_base_that_its_server_has_loaded_without_a_thread(
    tiny_spec: str, tmp_path: Path
) -> None:
    fingerprint = load_base(tiny_spec, "cpu").fingerprint
    # a process that is forked beside a thread may wait for ever for what that thread held
    with Launcher() as launcher:
        launcher.warm_up((tiny_spec, "cpu", "fp32"))
        ready, forge = tmp_path / "ready", tmp_path / "forge"
        serve = ["serve", "--forge", str(forge), "--base", tiny_spec, "--device", "cpu", "--listen", "127.0.0.1:0"]
        child = launcher.start([*serve, "--ready-file", str(ready)], tmp_path / "log")
        assert launcher._server is not None
        assert len(list(Path(f"/proc/{launcher._server.pid}/task").iterdir())) == 1
        wait_until(lambda: ready.exists() or child.poll() is not None)
        assert child.poll() is None, child.tail()
        child.stop()
        assert child.poll() == 0, child.tail()
    opened = Forge.open(forge)
    assert opened.settings.base == fingerprint
    opened.close()
