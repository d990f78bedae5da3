"""Follow pages as several people would who wait for each other."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.docs.follow.places import Place
from tests.docs.follow.steps import MAIN, HandOver, Interrupt, LeftOut, Step, Typed, WaitFor, steps_of
from tests.docs.follow.terminal import Differs, compare


class Followers:
    """Do the steps of pages at places, and keep what was left out and what was handed over."""

    def __init__(self, places: Mapping[str, Place], say: Callable[[str], None]) -> None:
        self._places = places
        self._say = say
        self._given: dict[str, Path | None] = {}
        self.left_out: list[LeftOut] = []

    def follow(self, pages: Sequence[Path]) -> None:
        """Do every step of every page, always the next one of the first page that need not wait.

        Raises Differs, with the page and the line, where something does not go as the page says.
        """
        rest = [steps_of(page) for page in pages]
        while any(rest):
            steps = next((steps for steps in rest if steps and not self._must_wait(steps[0])), None)
            if steps is None:
                waiting = ", ".join(f"{one[0].where} for {getattr(one[0], 'name', '')}" for one in rest if one)
                raise Differs(f"none of these pages hands over what is waited for: {waiting}")
            step = steps.pop(0)
            try:
                self._do(step)
            except Differs as differs:
                raise Differs(f"{step.where} (at {step.place}) {differs}") from None

    def _must_wait(self, step: Step) -> bool:
        return isinstance(step, WaitFor) and step.name not in self._given

    def _do(self, step: Step) -> None:
        place = self._places[step.place]
        match step:
            case Typed():
                self._type(place, step)
            case LeftOut():
                self.left_out.append(step)
            case HandOver():
                self._given[step.name] = place.home / step.path if step.path else None
                if step.path and not (place.home / step.path).exists():
                    raise Differs(f"there is no {step.path} to hand over")
            case WaitFor():
                source = self._given[step.name]
                if step.path and source:
                    place.put(source, step.path)
            case Interrupt():
                terminal = place.terminal(step.terminal)
                terminal.interrupt()
                _must_be_well(terminal.end(), terminal.shown())
                self._say(f"{step.where} [{step.place}] Ctrl-C\n{terminal.shown()}")

    def _type(self, place: Place, step: Typed) -> None:
        terminal = place.terminal(step.terminal)
        self._say(f"{step.where} [{step.place}]\n{_quoted(step.text)}")
        terminal.begin(step.text)
        if step.terminal != MAIN:
            if step.seen is None:
                raise Differs("goes on in a terminal of its own, and does not say what shows that it is ready")
            terminal.wait_to_see(step.seen)
        else:
            _must_be_well(terminal.end(), terminal.shown())
            if step.seen is not None:
                compare(terminal.printed(), step.seen)
        self._say(terminal.shown())


def _must_be_well(code: int, shown: str) -> None:
    if code:
        raise Differs(f"ends with {code}\n{shown}")
    if "Traceback (most recent call last)" in shown or "Warning:" in shown:
        raise Differs(f"shows what no reader should see\n{shown}")


def _quoted(text: str) -> str:
    return "".join(f"$ {line}\n" for line in text.splitlines())
