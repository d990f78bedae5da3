"""Sites that review whatever a forge asks for, at random moments, by calls and by the command, which is killed."""

import json
import random
import signal
import time

from medforge.client.review.item_files import ItemFiles
from medforge.client.review.run import Reviewer
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto.signed_review import Review
from tests.faults.review_soak.stage import Stage
from tests.programs import Program

KILLS = ("before sending a review", "after sending a review", "before a file")


def reviewer(stage: Stage, name: str) -> Reviewer:
    """Return a site's reviewer."""
    files = ItemFiles(stage.directory / "files" / name)
    return Reviewer([stage.sites[name].workspace], stage.connection(name), "cpu", files=files)


def review(stage: Stage, name: str) -> None:
    """Review at random moments until the soak is over, sometimes by the command."""
    draw, asked = stage.crew.random("review", name), reviewer(stage, name)
    while not stage.crew.over:
        time.sleep(draw.uniform(0.1, 1))
        if stage.tally.wants("reviewer") and draw.random() < 0.5:
            _review_by_command(stage, name, draw)
        else:
            review_once(stage, asked)


def review_once(stage: Stage, asked: Reviewer) -> bool:
    """Review what is asked for now, if it can be; say whether anything was."""
    try:
        done = asked.once()
    except ForgeUnavailable:
        return True
    except InvalidInput as error:
        check_moved_on(error)
        return True
    with stage.said.lock:
        if done.sent and done.review is not None:
            stage.said.reviews.append(done.review.digest)
        if done.question.reviewed:
            stage.said.stable.append(done.question.stable.digest)
    return done.commit is not None and (done.sent or done.commit.digest not in done.question.own)


def check_moved_on(error: InvalidInput) -> None:
    """Let pass that a commit was decided while it was reviewed; anything else is a failure."""
    if "review what the forge asks for now" not in str(error):
        raise error


def _review_by_command(stage: Stage, name: str, draw: random.Random) -> None:
    place = stage.directory / "files" / f"{name}.json"
    place.unlink(missing_ok=True)
    point = draw.choice((*KILLS, None))
    kit = stage.kits[name].directory
    command = ["review", "--workspace", stage.sites[name].workspace, "--kit", kit, "--threads", 1, "--json"]
    program = Program(command, place.with_suffix(".log"), point, place)
    if point is None:
        time.sleep(draw.uniform(0.1, 1.5))
        program.signal(signal.SIGKILL)
    code = program.wait(120)
    if code == -signal.SIGKILL:
        stage.tally.fault("reviewer", f"killed {point or 'at any moment'}")
    elif code == 0:
        said = json.loads(place.read_text())
        if said["sent"]:
            with stage.said.lock:
                stage.said.reviews.append(Review.model_validate(said["review"]).digest)
    else:
        assert "Traceback" not in program.said(), program.said()
