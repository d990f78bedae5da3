from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BranchState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BRANCH_STATE_UNKNOWN: _ClassVar[BranchState]
    BRANCH_STATE_RECEIVED: _ClassVar[BranchState]
    BRANCH_STATE_FOLDED: _ClassVar[BranchState]
    BRANCH_STATE_HELD: _ClassVar[BranchState]
    BRANCH_STATE_REJECTED: _ClassVar[BranchState]
    BRANCH_STATE_WITHDRAWN: _ClassVar[BranchState]
    BRANCH_STATE_SUPERSEDED: _ClassVar[BranchState]

class Standing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STANDING_UNSPECIFIED: _ClassVar[Standing]
    STANDING_LIVE: _ClassVar[Standing]
    STANDING_WAITING: _ClassVar[Standing]
    STANDING_HARMFUL: _ClassVar[Standing]
BRANCH_STATE_UNKNOWN: BranchState
BRANCH_STATE_RECEIVED: BranchState
BRANCH_STATE_FOLDED: BranchState
BRANCH_STATE_HELD: BranchState
BRANCH_STATE_REJECTED: BranchState
BRANCH_STATE_WITHDRAWN: BranchState
BRANCH_STATE_SUPERSEDED: BranchState
STANDING_UNSPECIFIED: Standing
STANDING_LIVE: Standing
STANDING_WAITING: Standing
STANDING_HARMFUL: Standing

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BaseFilesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BaseFile(_message.Message):
    __slots__ = ("name", "digest", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    size: int
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class BaseFilesReply(_message.Message):
    __slots__ = ("files",)
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[BaseFile]
    def __init__(self, files: _Optional[_Iterable[_Union[BaseFile, _Mapping]]] = ...) -> None: ...

class EchoRequest(_message.Message):
    __slots__ = ("data", "wanted")
    DATA_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    wanted: int
    def __init__(self, data: _Optional[bytes] = ..., wanted: _Optional[int] = ...) -> None: ...

class EchoReply(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("chunk_bytes", "manifest_bytes", "branch_bytes", "contributor_bytes", "tensors", "rank", "images_per_class", "classes", "prompt_length")
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    BRANCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    IMAGES_PER_CLASS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    chunk_bytes: int
    manifest_bytes: int
    branch_bytes: int
    contributor_bytes: int
    tensors: int
    rank: int
    images_per_class: int
    classes: int
    prompt_length: int
    def __init__(self, chunk_bytes: _Optional[int] = ..., manifest_bytes: _Optional[int] = ..., branch_bytes: _Optional[int] = ..., contributor_bytes: _Optional[int] = ..., tensors: _Optional[int] = ..., rank: _Optional[int] = ..., images_per_class: _Optional[int] = ..., classes: _Optional[int] = ..., prompt_length: _Optional[int] = ...) -> None: ...

class DeclaredTask(_message.Message):
    __slots__ = ("content", "signature")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    signature: bytes
    def __init__(self, content: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("name", "commit", "release", "notes", "tagged_at", "signature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    TAGGED_AT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    commit: str
    release: bool
    notes: str
    tagged_at: str
    signature: bytes
    def __init__(self, name: _Optional[str] = ..., commit: _Optional[str] = ..., release: _Optional[bool] = ..., notes: _Optional[str] = ..., tagged_at: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class KeySuccession(_message.Message):
    __slots__ = ("key", "successor", "since", "signature")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SUCCESSOR_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    successor: bytes
    since: str
    signature: bytes
    def __init__(self, key: _Optional[bytes] = ..., successor: _Optional[bytes] = ..., since: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class AuthoritySuccession(_message.Message):
    __slots__ = ("authority", "successor", "since", "until", "signature")
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    SUCCESSOR_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    authority: str
    successor: str
    since: str
    until: str
    signature: bytes
    def __init__(self, authority: _Optional[str] = ..., successor: _Optional[str] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Epoch(_message.Message):
    __slots__ = ("content", "key", "signature")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    key: bytes
    signature: bytes
    def __init__(self, content: _Optional[bytes] = ..., key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class DescribeReply(_message.Message):
    __slots__ = ("forge", "base_spec", "base", "method", "head", "arrivals", "commits", "limits", "software", "key", "time", "tasks", "open_tasks", "base_facts", "tags", "keys", "withdrawals_have_nonces", "stable", "candidate", "reviewed", "privacy", "authorities", "epochs", "clock_ahead", "uploads_together")
    FORGE_FIELD_NUMBER: _ClassVar[int]
    BASE_SPEC_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ARRIVALS_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    OPEN_TASKS_FIELD_NUMBER: _ClassVar[int]
    BASE_FACTS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWALS_HAVE_NONCES_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_AHEAD_FIELD_NUMBER: _ClassVar[int]
    UPLOADS_TOGETHER_FIELD_NUMBER: _ClassVar[int]
    forge: str
    base_spec: str
    base: str
    method: bytes
    head: str
    arrivals: int
    commits: int
    limits: Limits
    software: str
    key: bytes
    time: str
    tasks: _containers.RepeatedCompositeFieldContainer[DeclaredTask]
    open_tasks: bool
    base_facts: bytes
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    keys: _containers.RepeatedCompositeFieldContainer[KeySuccession]
    withdrawals_have_nonces: bool
    stable: str
    candidate: str
    reviewed: bool
    privacy: bytes
    authorities: _containers.RepeatedCompositeFieldContainer[AuthoritySuccession]
    epochs: _containers.RepeatedCompositeFieldContainer[Epoch]
    clock_ahead: int
    uploads_together: bool
    def __init__(self, forge: _Optional[str] = ..., base_spec: _Optional[str] = ..., base: _Optional[str] = ..., method: _Optional[bytes] = ..., head: _Optional[str] = ..., arrivals: _Optional[int] = ..., commits: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., software: _Optional[str] = ..., key: _Optional[bytes] = ..., time: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[DeclaredTask, _Mapping]]] = ..., open_tasks: _Optional[bool] = ..., base_facts: _Optional[bytes] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[KeySuccession, _Mapping]]] = ..., withdrawals_have_nonces: _Optional[bool] = ..., stable: _Optional[str] = ..., candidate: _Optional[str] = ..., reviewed: _Optional[bool] = ..., privacy: _Optional[bytes] = ..., authorities: _Optional[_Iterable[_Union[AuthoritySuccession, _Mapping]]] = ..., epochs: _Optional[_Iterable[_Union[Epoch, _Mapping]]] = ..., clock_ahead: _Optional[int] = ..., uploads_together: _Optional[bool] = ...) -> None: ...

class FindMissingRequest(_message.Message):
    __slots__ = ("digests",)
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, digests: _Optional[_Iterable[str]] = ...) -> None: ...

class MissingBlob(_message.Message):
    __slots__ = ("digest", "received")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    digest: str
    received: int
    def __init__(self, digest: _Optional[str] = ..., received: _Optional[int] = ...) -> None: ...

class FindMissingReply(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedCompositeFieldContainer[MissingBlob]
    def __init__(self, missing: _Optional[_Iterable[_Union[MissingBlob, _Mapping]]] = ...) -> None: ...

class UploadChunk(_message.Message):
    __slots__ = ("digest", "total", "offset", "data", "together")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOGETHER_FIELD_NUMBER: _ClassVar[int]
    digest: str
    total: int
    offset: int
    data: bytes
    together: bool
    def __init__(self, digest: _Optional[str] = ..., total: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., together: _Optional[bool] = ...) -> None: ...

class UploadProgress(_message.Message):
    __slots__ = ("digest", "received", "complete")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    digest: str
    received: int
    complete: bool
    def __init__(self, digest: _Optional[str] = ..., received: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("manifest", "signature")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    signature: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("forge", "arrival", "branch", "accepted_at", "signature", "epoch", "epoch_signature")
    FORGE_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    forge: str
    arrival: int
    branch: str
    accepted_at: str
    signature: bytes
    epoch: str
    epoch_signature: bytes
    def __init__(self, forge: _Optional[str] = ..., arrival: _Optional[int] = ..., branch: _Optional[str] = ..., accepted_at: _Optional[str] = ..., signature: _Optional[bytes] = ..., epoch: _Optional[str] = ..., epoch_signature: _Optional[bytes] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("branch",)
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    branch: str
    def __init__(self, branch: _Optional[str] = ...) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("state", "receipt", "commit", "reason")
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    state: BranchState
    receipt: Receipt
    commit: CommitRecord
    reason: str
    def __init__(self, state: _Optional[_Union[BranchState, str]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., commit: _Optional[_Union[CommitRecord, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class CommitRecord(_message.Message):
    __slots__ = ("number", "digest", "content", "accepted_at", "display_name", "standing", "privacy", "epoch")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    number: int
    digest: str
    content: bytes
    accepted_at: str
    display_name: str
    standing: Standing
    privacy: bytes
    epoch: str
    def __init__(self, number: _Optional[int] = ..., digest: _Optional[str] = ..., content: _Optional[bytes] = ..., accepted_at: _Optional[str] = ..., display_name: _Optional[str] = ..., standing: _Optional[_Union[Standing, str]] = ..., privacy: _Optional[bytes] = ..., epoch: _Optional[str] = ...) -> None: ...

class Arrival(_message.Message):
    __slots__ = ("number", "branch", "contributor", "task", "size", "accepted_at", "state", "reason", "display_name", "privacy")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTOR_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    number: int
    branch: str
    contributor: str
    task: str
    size: int
    accepted_at: str
    state: BranchState
    reason: str
    display_name: str
    privacy: bytes
    def __init__(self, number: _Optional[int] = ..., branch: _Optional[str] = ..., contributor: _Optional[str] = ..., task: _Optional[str] = ..., size: _Optional[int] = ..., accepted_at: _Optional[str] = ..., state: _Optional[_Union[BranchState, str]] = ..., reason: _Optional[str] = ..., display_name: _Optional[str] = ..., privacy: _Optional[bytes] = ...) -> None: ...

class LogRequest(_message.Message):
    __slots__ = ("after", "names", "contributor")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTOR_FIELD_NUMBER: _ClassVar[int]
    after: int
    names: bool
    contributor: str
    def __init__(self, after: _Optional[int] = ..., names: _Optional[bool] = ..., contributor: _Optional[str] = ...) -> None: ...

class LogEntry(_message.Message):
    __slots__ = ("commit", "arrival", "names")
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    commit: CommitRecord
    arrival: Arrival
    names: DisplayNames
    def __init__(self, commit: _Optional[_Union[CommitRecord, _Mapping]] = ..., arrival: _Optional[_Union[Arrival, _Mapping]] = ..., names: _Optional[_Union[DisplayNames, _Mapping]] = ...) -> None: ...

class DisplayName(_message.Message):
    __slots__ = ("contributor", "display_name")
    CONTRIBUTOR_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    contributor: str
    display_name: str
    def __init__(self, contributor: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class DisplayNames(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedCompositeFieldContainer[DisplayName]
    def __init__(self, names: _Optional[_Iterable[_Union[DisplayName, _Mapping]]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: int
    def __init__(self, after: _Optional[int] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("branch", "erase", "signature", "nonce", "signed_at")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ERASE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    branch: str
    erase: bool
    signature: bytes
    nonce: bytes
    signed_at: str
    def __init__(self, branch: _Optional[str] = ..., erase: _Optional[bool] = ..., signature: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., signed_at: _Optional[str] = ...) -> None: ...

class RelatedArrival(_message.Message):
    __slots__ = ("number", "contributor", "task")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTOR_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    number: int
    contributor: str
    task: str
    def __init__(self, number: _Optional[int] = ..., contributor: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class WithdrawReply(_message.Message):
    __slots__ = ("state", "copies", "descendants")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    DESCENDANTS_FIELD_NUMBER: _ClassVar[int]
    state: BranchState
    copies: _containers.RepeatedCompositeFieldContainer[RelatedArrival]
    descendants: _containers.RepeatedCompositeFieldContainer[RelatedArrival]
    def __init__(self, state: _Optional[_Union[BranchState, str]] = ..., copies: _Optional[_Iterable[_Union[RelatedArrival, _Mapping]]] = ..., descendants: _Optional[_Iterable[_Union[RelatedArrival, _Mapping]]] = ...) -> None: ...

class ItemRequest(_message.Message):
    __slots__ = ("commit",)
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    commit: str
    def __init__(self, commit: _Optional[str] = ...) -> None: ...

class DownloadRequest(_message.Message):
    __slots__ = ("blob", "item", "base_file", "offset")
    BLOB_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    BASE_FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    blob: str
    item: ItemRequest
    base_file: str
    offset: int
    def __init__(self, blob: _Optional[str] = ..., item: _Optional[_Union[ItemRequest, _Mapping]] = ..., base_file: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class DownloadChunk(_message.Message):
    __slots__ = ("path", "digest", "total", "offset", "data")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    path: str
    digest: str
    total: int
    offset: int
    data: bytes
    def __init__(self, path: _Optional[str] = ..., digest: _Optional[str] = ..., total: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ReviewRequest(_message.Message):
    __slots__ = ("review", "signature")
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    review: bytes
    signature: bytes
    def __init__(self, review: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ReviewReply(_message.Message):
    __slots__ = ("stable", "candidate")
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    stable: str
    candidate: str
    def __init__(self, stable: _Optional[str] = ..., candidate: _Optional[str] = ...) -> None: ...

class ReviewsRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: int
    def __init__(self, after: _Optional[int] = ...) -> None: ...

class ReviewEntry(_message.Message):
    __slots__ = ("number", "at", "review", "decision")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    number: int
    at: str
    review: ReviewRecord
    decision: Decision
    def __init__(self, number: _Optional[int] = ..., at: _Optional[str] = ..., review: _Optional[_Union[ReviewRecord, _Mapping]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class ReviewRecord(_message.Message):
    __slots__ = ("review", "key", "signature")
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    review: bytes
    key: bytes
    signature: bytes
    def __init__(self, review: _Optional[bytes] = ..., key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("commit", "standing", "reason", "evidence", "arrival")
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_FIELD_NUMBER: _ClassVar[int]
    commit: str
    standing: Standing
    reason: str
    evidence: bytes
    arrival: int
    def __init__(self, commit: _Optional[str] = ..., standing: _Optional[_Union[Standing, str]] = ..., reason: _Optional[str] = ..., evidence: _Optional[bytes] = ..., arrival: _Optional[int] = ...) -> None: ...
