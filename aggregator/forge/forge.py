"""A forge on disk: its settings, key, ledger and blobs, and the way a branch becomes an arrival."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from filelock import FileLock

from medforge import __version__
from medforge.aggregator.blobs.address import parse_blob_address
from medforge.aggregator.forge.blob_place import blobs_of, bucket_at, placed
from medforge.aggregator.forge.candidate import Candidate
from medforge.aggregator.forge.contents import Contents
from medforge.aggregator.forge.intake import Intake, check_uploaded
from medforge.aggregator.forge.key_rotation import KEY_FILE, current_key
from medforge.aggregator.forge.opening import internal_ledger, lock_directory, open_ledger, take, usable
from medforge.aggregator.forge.policy import Policy, load_policy
from medforge.aggregator.forge.settings import (
    SETTINGS_FILE,
    ForgeSettings,
    check_same,
    existing_settings,
    planned_settings,
    read_settings,
    write_settings,
)
from medforge.aggregator.forge.tombstones import PLACE_FACT, Tombstones
from medforge.aggregator.forge.turns import Turns
from medforge.aggregator.forge.unsubmitted import Unsubmitted
from medforge.aggregator.forge.verdicts import Verdicts, key_of
from medforge.aggregator.ledger.address import check_lasting
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.epoch_table import KeptOut, epochs, kept_out
from medforge.aggregator.ledger.key_table import first_key, keep_first_key, successions
from medforge.aggregator.ledger.lease import Lease
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival
from medforge.aggregator.merge import MethodSettings
from medforge.base_mismatch import base_mismatch
from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes
from medforge.manifest import Manifest
from medforge.proto.epoch import Epoch, epoch_of
from medforge.proto.errors import AlreadyHere, NotFound, OverLimit
from medforge.proto.passphrase import given
from medforge.proto.receipt import Receipt
from medforge.proto.signed_task import SignedTask
from medforge.proto.signing import new_key, public_bytes, save_key
from medforge.proto.succession import KeySuccession

# torch takes seconds to import, and only who handles tensors needs it: reading the ledger and deciding do not
if TYPE_CHECKING:
    from medforge.base_module import BaseModule
    from medforge.branch import Branch
    from medforge.forge_item import ForgeItem


class Forge:
    """Hold an open forge directory; make one with `Forge.establish` (to serve) or `Forge.open` (to read and decide)."""

    def __init__(
        self,
        directory: Path,
        settings: ForgeSettings,
        ledger: Ledger,
        policy: Policy,
        lock: FileLock | None,
        lease: Lease | None = None,
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.ledger = ledger
        self.policy = policy
        self.blobs = blobs_of(directory, settings, policy)
        self.cache = directory / "cache"
        self._lock = lock
        self.lease = lease
        self.contents = Contents(ledger, self.blobs)
        # one is held while a branch is checked
        self.turns = Turns()
        # held while a branch becomes an arrival, and while a blob is deleted
        self.adding = threading.Lock()
        self._intake = Intake(ledger, self.blobs, self.contents, lambda: self.policy, self.adding)
        self.unsubmitted = Unsubmitted(self.blobs, policy.limits.partial, self._needed_blobs)

    @classmethod
    def establish(
        cls,
        directory: Path,
        base: BaseModule,
        method: MethodSettings,
        ledger_url: str | None = None,
        policy: Policy | None = None,
        blobs: str | None = None,
    ) -> Forge:
        """Create a forge for a base module and a method, or reopen it for writing; until `close` no other process can.

        `policy` is kept in the directory from now on; the one that is there stays where none is given. `blobs` is
        where a new one keeps its blobs, for good, or where those of an old one were moved. Raises InvalidInput if
        another process has it open, or if it was made for another base module or method.
        """
        if ledger_url is not None and not (directory / SETTINGS_FILE).exists():
            check_lasting(ledger_url)
        directory = usable(directory)
        lock = lock_directory(directory)
        try:
            settings = existing_settings(directory)
            rules = policy or load_policy(directory)
            if settings is None:
                forge = cls._create(directory, base, method, ledger_url, blobs, rules, lock)
            else:
                check_same(directory, settings, base, method)
                said = placed(directory, settings, blobs, rules)
                ledger = open_ledger(directory, settings, ledger_url)
                ledger.check_current()
                ledger, lease = take(ledger)
                said = said.model_copy(update={"base_facts": said.base_facts or base.facts})
                if said != settings:
                    write_settings(directory, said)
                settings = said
                forge = cls(directory, settings, ledger, rules, lock, lease)
            forge._prepare()
            if policy is not None:
                policy.save(directory)
            return forge
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, directory: Path, ledger_url: str | None = None, alone: bool = False) -> Forge:
        """Open an existing forge for reading, also while a server has it open; raise InvalidInput if there is none.

        `alone` opens it for changes that no server may see half done; raises InvalidInput while one runs.
        """
        if not (directory / SETTINGS_FILE).exists():
            raise InvalidInput(
                f"{directory} is not a forge (it has no {SETTINGS_FILE}); `medforge serve --forge` makes one"
            )
        lock = lock_directory(directory) if alone else None
        try:
            settings, rules = read_settings(directory), load_policy(directory)
            ledger = open_ledger(directory, settings, ledger_url)
            if not alone:
                return cls(directory, settings, ledger, rules, None)
            ledger.check_current()
            ledger, lease = take(ledger)
            return cls(directory, settings, ledger, rules, lock, lease)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @classmethod
    def _create(
        cls,
        directory: Path,
        base: BaseModule,
        method: MethodSettings,
        ledger_url: str | None,
        blobs: str | None,
        policy: Policy,
        lock: FileLock,
    ) -> Forge:
        planned = planned_settings(directory)
        settings = ForgeSettings(
            forge=planned.forge if planned else str(uuid.uuid4()),
            base_spec=base.spec,
            base=base.fingerprint,
            method=method,
            ledger="external" if ledger_url else "internal",
            base_facts=base.facts,
            blobs=None if blobs is None else str(parse_blob_address(blobs)),
        )
        if planned is None and (directory / KEY_FILE).exists():
            raise InvalidInput(
                f"{directory} has a forge's key, but no {SETTINGS_FILE}; restore that file from a backup, or choose "
                f"another directory"
            )
        bucket = None if settings.blobs is None else bucket_at(settings.blobs, directory, policy)
        if bucket is not None:
            bucket.check_free(settings.forge)
        ledger = Ledger(ledger_url or internal_ledger(directory))
        if ledger.bound not in (None, settings.forge):
            other = ledger.bound
            ledger.close()
            raise InvalidInput(
                f"the ledger already belongs to forge {other}, but {directory} has no {SETTINGS_FILE}; "
                f"restore that file from a backup or give an empty ledger"
            )
        ledger, lease = take(ledger)
        try:
            # the plan names the forge before its ledger does: who was killed in between goes on as that forge
            write_settings(directory, settings, planned=True)
            if bucket is not None:
                bucket.bind(settings.forge)
            ledger.bind(settings.forge)
            if not (directory / KEY_FILE).exists():
                save_key(directory / KEY_FILE, new_key(), given())
            # The settings come last: a directory that has them has a ledger that knows the forge.
            write_settings(directory, settings)
        except BaseException:
            lease.release()
            ledger.close()
            raise
        return cls(directory, settings, ledger, policy, lock, lease)

    def close(self) -> None:
        """Close the ledger and let other processes write to the directory."""
        if self.lease is not None:
            self.lease.release()
        self.ledger.close()
        if self._lock is not None:
            self._lock.release()

    def _prepare(self) -> None:
        """See that the forge has its own key, and that its ledger is protected, before anything is served."""
        try:
            if first_key(self.ledger) is None and not self.keys:
                keep_first_key(self.ledger, public_bytes(self.key).hex())
            _ = self.key
            self.tombstones.check_not_ahead()
            self.ledger.protect()
        except BaseException:
            self.close()
            raise

    @cached_property
    def verdicts(self) -> Verdicts:
        """What checks of branches have found so far."""
        return Verdicts(self.cache / "verdicts.jsonl")

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        """The key that the forge signs receipts and tasks with."""
        return current_key(self.directory, self.ledger)

    @cached_property
    def keys(self) -> tuple[KeySuccession, ...]:
        """Which key followed which, from the first to the one that the forge signs with."""
        return successions(self.ledger)

    @cached_property
    def epochs(self) -> tuple[Epoch, ...]:
        """What was said each time that this forge was restored from a backup; none ever begins while it is open."""
        return epochs(self.ledger)

    @cached_property
    def kept_out(self) -> dict[str, KeptOut]:
        """The branches, by digest, that were withdrawn after the backup that was restored, and are not taken again."""
        return kept_out(self.ledger)

    @cached_property
    def tombstones(self) -> Tombstones:
        """What outlasts a restore, beside the forge's directory."""
        return Tombstones(self.directory, self.settings.forge, self.ledger)

    def place_tombstones(self, path: Path) -> None:
        """Keep them in another file from now on; raises CorruptFile where it is another forge's, or ahead of this."""
        self.ledger.set_fact(PLACE_FACT, str(path.resolve()))
        self.__dict__.pop("tombstones", None)
        self.tombstones.check_not_ahead()

    def keep_tombstones(self) -> bool:
        """Write withdrawals and revocations where no restore of a backup undoes them; return whether that worked.

        Whoever withdraws does not wait for a disk that is full: what is not written now is written later.
        """
        return self.tombstones.keep(self.key)

    def parse_manifest(self, data: bytes) -> Manifest:
        """Read a manifest that somebody sent; raise OverLimit for a longer one than admitted, or InvalidBranch."""
        longest = self.policy.limits.manifest
        if len(data) > longest:
            raise OverLimit(f"the manifest has {len(data)} bytes where {longest} are admitted; shorten it")
        key = key_of(__version__, "manifest", sha256_bytes(data))
        self.verdicts.is_sound(key)
        with self.verdicts.refusing(key):
            return Manifest.parse(data)

    def accept(
        self,
        manifest: Manifest,
        base: BaseModule,
        signature: bytes = b"",
        holder: str | None = None,
        payer: str | None = None,
    ) -> Arrival:
        """Check a branch whose files are in the blob store, and give it the next arrival number, durably.

        `holder` is who brings it, where that is known: only blobs that it uploaded itself are there for it. `payer` is
        whose turn it takes where it comes from outside. A branch that has arrived before keeps its arrival,
        and one that was refused for what it holds is refused again, with nothing read. Of branches of about one size
        one at a time is held in memory.

        Raises InvalidBranch, BaseMismatch, CorruptFile, MissingBlob (files not, or not wholly, uploaded), AlreadyHere
        or OverLimit.
        """
        from medforge.aggregator.forge.content_check import ContentCheck

        content = manifest.to_bytes()
        digest = sha256_bytes(content)
        known = self.ledger.arrival_of(digest)
        if known is not None:
            return known
        if manifest.base != self.settings.base:
            raise base_mismatch(manifest, self.settings.facts, "this forge stands on")
        self._check_not_kept_out(digest)
        self._intake.check(manifest, holder)
        check = ContentCheck(manifest, base, self.policy, self.blobs, self.verdicts)
        # a branch that is refused again waits for nobody
        size = 0 if check.is_known() else manifest.size
        with self.turns.turn(payer or manifest.contributor, size):
            if not check.is_known():
                check.run()
        self.blobs.send_ahead(entry.digest for entry in manifest.files.values())
        candidate = Candidate(manifest, content, signature, holder, limited=payer is not None)
        arrival = self._intake.add(candidate)
        self.unsubmitted.submitted(entry.digest for entry in manifest.files.values())
        return arrival

    def _needed_blobs(self) -> set[str]:
        arrivals = self.ledger.arrivals()
        return self.contents.of_items().union(*(self.contents.blobs_of(one) for one in arrivals if not one.erased))

    def _check_not_kept_out(self, branch: str) -> None:
        if (gone := self.kept_out.get(branch)) is not None:
            raise AlreadyHere(
                f"branch {gone.branch[:12]} was {'erased' if gone.erase else 'withdrawn'} on {gone.since[:10]}, before "
                f"this forge was restored from a backup, and stays out; to come in again, make and push another"
            )

    def admit(self, branch: Branch, base: BaseModule) -> Arrival:
        """Store a branch that is already in memory and accept it, as a Flower reply or a replay does."""
        for data in branch.blobs().values():
            self.blobs.stage(data)
        return self.accept(branch.manifest, base)

    def receipt(self, arrival: Arrival) -> Receipt:
        """Sign the receipt of an arrival; the same arrival always gets the same receipt."""
        epoch = epoch_of(self.epochs, arrival.number)
        return Receipt.issue(self.key, self.settings.forge, arrival.number, arrival.branch, arrival.accepted_at, epoch)

    def signed(self, task: DeclaredTask) -> SignedTask:
        """Sign a declared task; the same declaration always gets the same signature."""
        return SignedTask.issue(self.key, self.settings.forge, task)

    def manifest(self, arrival: int) -> Manifest:
        """Read the manifest of an arrival; raise NotFound for a number that has not arrived, or was erased."""
        return Manifest.parse(self.blobs.read(self.kept_arrivals([arrival])[0].branch))

    def load_branch(self, arrival: int) -> Branch:
        """Read an arrival's branch back, every digest checked; raise NotFound where it is not here any more."""
        manifest = self.manifest(arrival)
        check_uploaded(self.blobs, manifest)
        return self._assemble(manifest)

    def store_item(self, item: ForgeItem) -> dict[str, str]:
        """Store a forge item's files durably as blobs and return their digests by path, for `Commit.item_files`."""
        return {path: self.blobs.put(data) for path, data in item.files().items()}

    def load_item(self, commit: Commit) -> ForgeItem:
        """Read the forge item of a commit; raise NotFound or CorruptFile if the blobs do not give it back."""
        from medforge.forge_item import ForgeItem

        self.check_item(commit)
        item = ForgeItem.parse({path: self.blobs.read(digest) for path, digest in commit.item_files.items()})
        if item.digest != commit.item:
            raise CorruptFile(f"commit {commit.digest[:12]} has another forge item than it names; restore the blobs")
        return item

    def check_item(self, commit: Commit) -> None:
        """Raise NotFound for a commit that has no forge item, or no longer has it."""
        if commit.item is None:
            raise NotFound(f"after commit {commit.digest[:12]} the main branch was empty; check out another commit")
        erased = self.ledger.erased()
        gone = [number for number in commit.members if number in erased]
        if gone:
            raise NotFound(
                f"commit {commit.digest[:12]} was made with arrival {gone[0]}, which was erased when it was "
                f"withdrawn; check out a later commit"
            )

    def find_commit(self, digest: str | None) -> Commit:
        """Find a commit by its digest, or the head where none is given; raise NotFound if there is none."""
        commit = self.ledger.commit(digest) if digest else self.ledger.head()
        if commit is None and digest:
            raise NotFound(f"commit {digest} is not on this forge's main branch; `medforge log` lists its commits")
        if commit is None:
            raise NotFound("this forge's main branch has no commit yet; push a branch and wait until it is folded")
        return commit

    def kept_arrivals(self, numbers: Sequence[int]) -> list[Arrival]:
        """Look up arrivals whose files are here; raise NotFound for one that has not arrived, or was erased."""
        arrivals = self.ledger.arrivals_by_number(numbers)
        for number in numbers:
            if number not in arrivals:
                raise NotFound(f"arrival {number} is not in this forge; `medforge log` lists the arrivals")
            if arrivals[number].erased:
                raise NotFound(f"arrival {number} was erased when it was withdrawn; it must be pushed anew")
        return [arrivals[number] for number in numbers]

    def _assemble(self, manifest: Manifest) -> Branch:
        from medforge.branch import Branch

        return Branch.assemble(
            manifest, {path: self.blobs.read(entry.digest) for path, entry in manifest.files.items()}
        )
