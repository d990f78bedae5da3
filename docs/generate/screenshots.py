"""docs/images/page-*.png and report.png: a real forge and a real run on drawn tissue, looked at in a real browser.

`python -m docs.generate.screenshots DIRECTORY` makes five branches, folds them, runs `medforge simulate`, and takes the
pictures; what DIRECTORY holds already is not made again. It takes some minutes, so no test does this: look at the
pictures before they are kept.
"""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.main_branch.examination import BranchHeld
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.page.addresses import branch_page, task_page
from medforge.base import load_base
from medforge.branch import Branch
from medforge.contributor_name import ContributorName

IMAGES = Path(__file__).resolve().parents[1] / "images"
IMAGES_EACH = "train=90,validation=30,test=30"
QUICK = ("train.epochs=5", "distill.steps=12", "distill.ipc=4", "distill.score_steps=4", "distill.candidates=1")
# workspaces in the order of arrival: contributor, task, source, further settings of the recipe
CENTRES = {
    "north": ("Klinik Nord", "lung", f"tissue:lung,{IMAGES_EACH}", ("train.epochs=1",)),
    "south": ("Hôpital du Sud", "colon", f"tissue:colon,{IMAGES_EACH}", ()),
    "harbour": ("Klinik am Hafen", "breast", f"tissue:breast,{IMAGES_EACH}", ()),
    "east": ("Szpital Wschód", "lung", f"tissue:lung,{IMAGES_EACH}", ()),
    "north again": ("Klinik Nord", "lung", f"tissue:lung,{IMAGES_EACH}", ()),
}


def main(directory: Path) -> None:
    """Make the forge in a directory, its pages, and the pictures."""
    workspaces = [contribute(directory / name, *about) for name, about in CENTRES.items()]
    if not (directory / "forge").exists():
        fill(directory / "forge", [Branch.load(workspace / "branch") for workspace in workspaces])
    medforge("page", "--forge", directory / "forge", "--out", directory / "site")
    # a run that is finished is not run again
    medforge("simulate", "--out", directory / "run")
    with sync_playwright() as playwright:
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, page, width, dark, height in pictures():
            take(browser, directory / "site" / page, IMAGES / f"page-{name}.png", width, dark, height)
        take(browser, directory / "run" / "report.html", IMAGES / "report.png", 1000, False, 1390)
        browser.close()


def medforge(*words: object) -> None:
    """Run the command; an audit that refuses a branch, which stays here, is no failure."""
    ended = subprocess.run([sys.executable, "-m", "medforge", *map(str, words)], check=False)
    if ended.returncode not in ((0, 1) if "--no-push" in words else (0,)):
        ended.check_returncode()


def contribute(workspace: Path, contributor: str, task: str, source: str, settings: tuple[str, ...]) -> Path:
    """Train, distil and commit at a centre, and return its workspace; what is there already is not made again."""
    if not (workspace / "branch" / "manifest.json").exists():
        seed = list(CENTRES).index(workspace.name)
        about = ("--contributor", contributor, "--task", task, "--seed", seed, "--override", "pictures")
        changed = [word for setting in (*QUICK, *settings) for word in ("--recipe-set", setting)]
        medforge("contribute", source, "--workspace", workspace, "--no-push", "--recipe", "demo", *about, *changed)
    return workspace


def fill(directory: Path, branches: list[Branch]) -> None:
    """Fold the branches, and one whose labels are exchanged; recommend the model, and take a branch out of it."""
    base = load_base("medforge-tiny", device="cpu")
    forge = Forge.establish(directory, base, choose_settings(), policy=Policy())
    main_branch = MainBranch(forge, base)
    exchanged = exchange_labels(branches[-1], ContributorName.of("Clinique des Miroirs"), main_branch)
    for branch in (*branches, exchanged):
        number = forge.admit(branch, base).number
        try:
            main_branch.fold(number)
        except BranchHeld as error:
            forge.ledger.hold(number, str(error))
    tag_commit(forge, "v1.0", None, release=True, notes="Looked at by all sites.")
    maintenance.withdraw(forge, "breast", "the site's board asked for it", erase=False)
    main_branch.settle()
    forge.close()


def exchange_labels(branch: Branch, contributor: ContributorName, main_branch: MainBranch) -> Branch:
    """Return a branch with the next class's label on every image, as somebody who mixed up a table would send it."""
    distilled, manifest = branch.distilled, branch.manifest
    return Branch.build(
        branch.plugin,
        replace(distilled, labels=(distilled.labels + 1) % len(distilled.prompts)),
        contributor=contributor,
        task=manifest.task,
        base=main_branch.base,
        training_images=manifest.training_images,
        recipe=manifest.recipe,
        seed=manifest.seed,
        validation=manifest.validation,
    )


def pictures() -> list[tuple[str, str, int, bool, int]]:
    """List the pictures: name, page, width of the window, whether by night, and its height (0: the whole page)."""
    return [
        ("overview", "index.html", 1100, False, 1250),
        ("timeline", "timeline/1.html", 1100, False, 0),
        ("task", task_page("lung"), 1100, False, 0),
        ("branch", branch_page(1), 1100, False, 0),
        ("held", branch_page(6), 1100, False, 1150),
        ("phone", "index.html", 420, False, 1500),
        ("dark", task_page("lung"), 1100, True, 1000),
    ]


def take(browser: Browser, page: Path, picture: Path, width: int, dark: bool, height: int) -> None:
    """Take a picture of a page."""
    size = {"width": width, "height": height or 700}
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
    tab = context.new_page()
    tab.goto(page.as_uri())
    tab.screenshot(path=picture, full_page=not height)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
