"""What a branch must be before it becomes an arrival: small enough, of the declared shape, and within bounds.

Cheap checks come first: the manifest alone, then the files' headers (`headers`), then what is in them. What any branch
must be (`Branch.assemble`, `Branch.check`: digests, shapes, labels, finite values) is checked there.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product

import torch

from medforge.aggregator.forge.policy import Policy, check_at_most
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.contributor_name import check_not_reserved
from medforge.distilled import DistilledDataset
from medforge.errors import InvalidBranch, InvalidInput
from medforge.manifest import PLUGIN_DIRECTORY, Manifest
from medforge.name_skeleton import alike
from medforge.peft_format import CONFIG_FILE
from medforge.plugin import Plugin
from medforge.prompt_form import hidden_fault, prompt_fault, texts_fault

PLUGIN_CONFIG = f"{PLUGIN_DIRECTORY}/{CONFIG_FILE}"
LONGEST_CONFIG = 1 << 20
# how many distilled images tell how large embeddings are, and how much larger statistics may be
_MEASURED = 4
_MOST_TIMES = 4.0


def check_manifest(manifest: Manifest, policy: Policy, used: int) -> None:
    """Check what the manifest alone says against the limits; ``used`` are the bytes the contributor has in the forge.

    Raises OverLimit with the first thing that is too much, InvalidBranch for texts that are the same to a reader, or
    that hold what nobody sees, and where less differential privacy is claimed than the policy demands.
    """
    if fault := policy.privacy.fault(manifest.privacy):
        raise InvalidBranch(fault)
    limits = policy.limits
    size = manifest.size
    longest = max(map(len, manifest.prompts))
    check_at_most("the branch", size, "bytes", limits.branch, "use a smaller rank or fewer distilled images")
    check_at_most(
        "the plugin's config", manifest.files[PLUGIN_CONFIG].size, "bytes", LONGEST_CONFIG, "commit the branch again"
    )
    check_at_most("the plugin", manifest.plugin.rank, "ranks", limits.rank, "train it with a smaller rank")
    check_at_most("the distilled dataset", manifest.ipc, "images per class", limits.images_per_class, "distil fewer")
    check_at_most("the task", len(manifest.prompts), "classes", limits.classes, "join classes, or divide the task")
    check_at_most("a class prompt", longest, "characters", limits.prompt_length, "shorten it")
    check_at_most(
        f"{manifest.name} with this branch", used + size, "bytes here", limits.contributor,
        "withdraw and erase an earlier branch"
    )  # fmt: skip
    _check_texts(manifest)


def _check_texts(manifest: Manifest) -> None:
    """Raise InvalidBranch for texts that people would misread, in whatever field they come."""
    said = [manifest.base_spec, manifest.recipe, *manifest.validation, *manifest.software, *manifest.software.values()]
    said += [text for text in (manifest.split, manifest.together) if text is not None]
    fault = (
        prompt_fault(manifest.prompts)
        or texts_fault(manifest.classes or (), manifest.modality or "")
        or hidden_fault("text", said)
    )
    if fault is not None:
        raise InvalidBranch(f"{fault}; mend the task's texts and commit again")


def check_name(manifest: Manifest, invited: Mapping[str, str]) -> None:
    """Check that a branch comes under a name that is its contributor's own.

    ``invited`` has the name for people of everybody who was invited, by identifier. Raises InvalidBranch where the
    contributor was invited under another name, or where the name looks like somebody else's or is reserved.
    """
    due, written = invited.get(manifest.contributor), manifest.display_name
    if due is None:
        try:
            check_not_reserved(manifest.contributor, written or manifest.contributor)
        except InvalidInput as error:
            raise InvalidBranch(str(error)) from error
    if due is not None and written is not None and written != due:
        raise InvalidBranch(
            f"the branch names its contributor {written!r}, but {manifest.contributor} was invited as {due!r}; push it "
            "with the kit that came with the invitation"
        )
    own = {manifest.contributor, written or manifest.contributor}
    for identifier, other in invited.items():
        if identifier != manifest.contributor and any(alike(*pair) for pair in product(own, {identifier, other})):
            raise InvalidBranch(
                f"the branch names its contributor {written or manifest.contributor!r}, which looks like the name of "
                f"{identifier!r}, who was invited; commit it under another name"
            )


def check_pixels(distilled: DistilledDataset, base: BaseModule, room: float) -> None:
    """Check that distilled pixels are at most ``room`` ranges of real ones away from them; raises InvalidBranch."""
    mean, std = torch.tensor(base.mean), torch.tensor(base.std)
    lowest, highest = (values.float() for values in distilled.extremes)
    low, high = float((lowest * std + mean).min()), float((highest * std + mean).max())
    if low < -room or high > 1 + room:
        raise InvalidBranch(
            f"distilled pixels lie in {low:.3g} … {high:.3g} where {-room:g} … {1 + room:g} are admitted "
            f"(0 is black, 1 white); distil again with a lower pixel rate"
        )


def check_counts(branch: Branch) -> None:
    """Check that what a manifest counts by class is what it counts in all, and what its class statistics sum up.

    Raises InvalidBranch.
    """
    said, images = branch.manifest.class_counts, branch.manifest.training_images
    if said is None:
        return
    if sum(said) != images:
        raise InvalidBranch(
            f"the class counts add up to {sum(said)} where {images} training images are named; commit the branch again"
        )
    summed = said if branch.statistics is None else branch.statistics.counts.tolist()
    for prompt, count, counted in zip(branch.manifest.prompts, said, summed, strict=True):
        if counted not in (0, count):
            raise InvalidBranch(
                f"the class statistics sum up {counted} images of {prompt[:200]!r} where the manifest names {count}; "
                "commit the branch again"
            )


def check_statistics(branch: Branch, base: BaseModule) -> None:
    """Check that class means and spread have the size of the base's embeddings, which distilled images tell.

    A router stands on the mean of all sites' covariances: one that is out of all measure would be everybody's. What is
    no larger than embeddings of plain pictures is in measure, and most is, so that no image is embedded for it. Raises
    InvalidBranch.
    """
    statistics, images = branch.statistics, branch.distilled.images
    if statistics is None:
        return
    means, spread = float(statistics.means.norm(dim=1).max()), float(statistics.covariance.double().trace()) ** 0.5
    plain = _plain_length(base)
    if means <= plain and spread <= plain:
        return
    some = images[:: -(-len(images) // _MEASURED)]
    bound = _MOST_TIMES * float(base.embed_all(some).norm(dim=1).max())
    for what, size in (("a mean of length", means), ("a spread of", spread)):
        # also where it is no number, which no comparison holds for
        if not size <= bound:
            raise InvalidBranch(
                f"the class statistics have {what} {size:.3g} where the base module's embeddings of the distilled "
                f"images admit {bound:.3g}; commit the branch again on the forge's base"
            )


@lru_cache(maxsize=4)
def _plain_length(base: BaseModule) -> float:
    """Return the largest length of the base's embeddings of a black, a grey and a white picture."""
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(-1, 1, 1, 1)
    plain = base.normalise(pixels.expand(-1, 3, base.image_size, base.image_size))
    return float(base.embed_all(plain).norm(dim=1).max())


def check_weight_changes(plugin: Plugin, base: BaseModule, bound: float) -> None:
    """Check ‖ΔW‖ ≤ bound · ‖W‖ (Frobenius) at every site, one at a time; raises InvalidBranch."""
    norms = _weight_norms(base)
    for site in plugin.sites:
        ratio = plugin.size_of_change(site, base) / norms[site]
        # finite factors can have a product that is not, and no comparison with NaN holds
        if not ratio <= bound:
            raise InvalidBranch(
                f"the plugin changes the weight at {site} by {ratio:.3g} times its norm where {bound:g} is admitted; "
                f"train it with a lower rate, a smaller alpha or more weight decay"
            )


@lru_cache(maxsize=4)
def _weight_norms(base: BaseModule) -> Mapping[str, float]:
    return {site: float(base.weight(site).float().norm()) for site in base.sites}
