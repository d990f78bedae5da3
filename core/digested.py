"""Models whose JSON is digested, and must stay the same when they gain a field."""

from typing import Any, ClassVar

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class DigestedModel(BaseModel):
    """Leave a field that older files lack out of the JSON where it has its default: their digests must not change.

    ``younger`` names these fields.
    """

    younger: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _leave_out_what_is_younger(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        for name in self.younger & values.keys():
            field = type(self).model_fields[name]
            if getattr(self, name) == field.get_default(call_default_factory=True):
                del values[name]
        return values
