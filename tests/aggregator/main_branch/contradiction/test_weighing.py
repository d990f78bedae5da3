"""Two sides that contradict each other: who stays, as a function of who speaks and of nothing else."""

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.main_branch.contradiction.weighing import Party, Standing, Verdict, weigh

NEW = Party(9, "new")


def parties(*contributors: str, first: int = 1) -> list[Party]:
    return [Party(number, name) for number, name in enumerate(contributors, start=first)]


def against(
    members: Collection[str] = (),
    agreeing: Collection[str] = (),
    contradicting: Collection[str] = (),
    standing: Standing = Standing(),  # noqa: B008
) -> Verdict:
    return weigh(
        NEW, parties(*members), False, parties(*agreeing, first=20), parties(*contradicting, first=40), standing
    )


def reviewed_by(*names: str, of: int) -> Standing:
    return Standing(supporters=lambda side: frozenset(names) if any(one.number == of for one in side) else frozenset())


def test_of_one_and_one_neither_stays() -> None:
    assert against(["old"]) == Verdict(frozenset({"new"}), frozenset({"old"}), True, (1,))


def test_those_who_agree_stay() -> None:
    # one against two members; two against one that waits too; one who finds a like-minded one waiting
    assert against(["ann", "bob"])[2:4] == (True, ())
    assert weigh(NEW, [], None, parties("ann"), parties("liar", first=5), Standing())[2:4] == (False, ())
    assert against(["liar"], agreeing=["ann"])[2:4] == (False, (1,))
    assert against(["liar"], agreeing=["ann"], contradicting=["other"])[2:4] == (True, (1,))
    assert against(["ann", "bob"], agreeing=["cat"]).out == (1, 2)


def test_one_name_is_one_voice_and_never_on_both_sides() -> None:
    assert against(["ann", "ann"])[2:4] == (True, (1, 2))
    assert against(["new"])[2:4] == (True, (1,))
    assert against(["old"], agreeing=["new", "new"])[2:4] == (True, (1,))
    assert against(["old", "ann"], agreeing=["ann"])[2:4] == (True, (1, 2))


def test_a_site_that_saw_it_work_is_a_voice() -> None:
    assert against(["old"], standing=reviewed_by("site", of=1))[2:4] == (True, ())
    # its own contributor's review is no other voice, nor is that of the one who contradicts it
    assert against(["old"], standing=reviewed_by("old", of=1)).out == (1,)
    assert against(["old"], standing=reviewed_by("new", of=1))[2:4] == (True, ())
    # as many newcomers who agree are as good, which is how collusion is bounded
    assert against(["old"], agreeing=["second"], standing=reviewed_by("site", of=1))[2:4] == (True, (1,))
    assert against(["old"], agreeing=["b", "c"], standing=reviewed_by("site", of=1))[2:4] == (False, (1,))


def test_no_number_of_names_takes_out_what_enough_sites_saw_work() -> None:
    crowd = [f"name {number}" for number in range(9)]
    standing = reviewed_by("ann", "bob", "cat", of=1)
    found = against(["ann", "bob", "cat"], agreeing=crowd, standing=standing)
    assert (found.held, found.out, found.proven) == (True, (), True)
    # two sites' images are few, and three sites that change sides speak for nobody
    few = reviewed_by("ann", "bob", of=1)
    assert against(["ann", "bob", "cat"], agreeing=crowd, standing=few)[2:4] == (False, (1, 2, 3))
    assert against(["ann", "bob", "cat"], agreeing=[*crowd, "cat"], standing=standing).out == (1, 2, 3)
    # what nobody merged has no such protection, however many sites saw it once
    assert (
        weigh(NEW, [], None, parties(*crowd), parties("ann", first=50), reviewed_by("a", "b", "c", of=50)).held is False
    )


def test_whom_the_maintainer_accepted_stays_whoever_speaks_against_it() -> None:
    decided = Standing(decided=frozenset({1}))
    assert against(["old"], agreeing=["a", "b", "c"], standing=decided)[2:5] == (True, (), True)
    assert weigh(NEW, parties("old"), True, [], parties("a", "b", "c", first=5), decided)[2:5] == (False, (), True)


def test_who_contradicts_too_many_has_no_voice() -> None:
    assert against(["squatter"], standing=Standing(silent=frozenset({"squatter"})))[2:4] == (False, (1,))
    assert against(["old"], standing=Standing(silent=frozenset({"new"})))[2:4] == (True, ())
    assert against(["old"], standing=Standing(silent=frozenset({"new", "old"})))[2:4] == (True, (1,))


names = st.sets(st.sampled_from("abcdefgh"), max_size=6)


@given(mine=names, theirs=names.filter(bool), silent=names)
def test_which_side_came_first_changes_nothing(mine: set[str], theirs: set[str], silent: set[str]) -> None:
    """One of a side arrives while its like wait and the other side is merged, or the other way round."""
    standing = Standing(silent=frozenset(silent))
    one, other = {"x", *mine} - theirs, theirs - {"x"} | {"y"}
    forth = weigh(Party(99, "x"), parties(*other), False, parties(*(one - {"x"}), first=50), [], standing)
    back = weigh(Party(99, "y"), parties(*one), False, parties(*(other - {"y"}), first=50), [], standing)
    assert (forth.held, bool(forth.out)) == (bool(back.out), back.held)
    assert forth.held or forth.out
    assert (len(forth.ours), len(forth.theirs)) == (len(one - silent), len(other - silent))


def test_nobody_who_contradicts_it_holds_nobody() -> None:
    assert weigh(NEW, parties("old"), True, parties("ann", first=5), [], Standing())[2:5] == (False, (), False)
    assert weigh(NEW, parties("old"), None, [], [], Standing())[2:5] == (False, (), False)
