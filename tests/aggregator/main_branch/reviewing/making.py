"""Make reviews and the states that decisions rest on."""

from collections.abc import Iterable, Mapping, Sequence

from medforge.aggregator.main_branch.reviewing.state import Link, Owner, ReviewState
from medforge.files import sha256_bytes
from medforge.proto.signed_review import Review, TaskReview

FORGE = "0f1e2d3c-0000-4000-8000-000000000001"
STABLE = sha256_bytes(b"stable")


def commit(name: object) -> str:
    return sha256_bytes(str(name).encode())


def review(
    reviewer: str,
    of: str,
    task: str = "lung",
    lost: int = 0,
    gained: int = 0,
    images: int = 100,
    *,
    taken: int = 0,
    baseline: str | None = STABLE,
    epsilon: float | None = None,
) -> Review:
    seen = TaskReview(
        baseline=baseline, images=images, right=max(gained, (images - lost) // 2), lost=lost, gained=gained, taken=taken
    )
    return Review(
        forge=FORGE, reviewer=reviewer, commit=of, tasks={task: seen}, threshold=10, epsilon=epsilon, software="0"
    )


def state(
    links: Sequence[tuple[int, ...]],
    owners: Mapping[int, tuple[str, str]],
    reviews: Iterable[Review],
    reviewers: Mapping[str, Iterable[str]],
    *,
    seasoned: Iterable[int] = (1, 2, 3),
    overruled: Iterable[int] = (),
    doubted: Iterable[str] = (),
    held_by: Mapping[str, frozenset[str]] | None = None,
    silent: Iterable[str] = (),
    replaced: Iterable[int] = (),
) -> ReviewState:
    """Commits after the stable one by their members, made a second after each other; commit n is called so."""
    by_commit: dict[str, list[Review]] = {}
    for one in reviews:
        by_commit.setdefault(one.commit, []).append(one)
    return ReviewState(
        later=tuple(Link(commit(n), n, members, float(n)) for n, members in enumerate(links, start=1)),
        owners={number: Owner(*owner) for number, owner in owners.items()},
        seasoned=frozenset(seasoned),
        overruled=frozenset(overruled),
        reviews={digest: tuple(given) for digest, given in by_commit.items()},
        reviewers={task: frozenset(names) for task, names in reviewers.items()},
        doubted=frozenset(doubted),
        held_by=held_by,
        silent=frozenset(silent),
        replaced=frozenset(replaced),
    )
