"""What a site lets out of the house: the limits of the egress gate."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.errors import InvalidInput
from medforge.files import read_file


class SitePolicy(BaseModel):
    """Bound what an audited branch may show; a TOML file of the same names changes single limits.

    The defaults stand between what honest branches and leaked ones measure (docs/explanation-security.md). In 68
    distilled datasets of seven tasks no learned image came closer than .91 of the typical distance between real images
    by layout, and .71 by features; real images put in their place lie at 0, and at .22 to .48 (median, by layout) under
    noise of a tenth of the pixel range. No attack on them reached an AUC of .59, none on 26 plugins .62; a plugin that
    knew its training images by heart was found with .96. Where a plugin should be refused in between is the site's
    choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    near_copies: int = Field(0, ge=0, description="most distilled images that may be near copies of a real one")
    layout_distance: float = Field(
        0.7, ge=0, lt=1, description="near copy: at most this share of the typical distance between real images"
    )
    feature_distance: float = Field(0.5, ge=0, lt=1, description="the same in the base module's features")
    distilled_auc: float = Field(0.65, ge=0.5, le=1, description="highest AUC of an attack on the distilled dataset")
    distilled_tpr: float = Field(0.1, ge=0, le=1, description="highest share of members it names at 1 % false alarms")
    plugin_auc: float = Field(0.7, ge=0.5, le=1, description="highest AUC of an attack on the plugin")
    plugin_tpr: float = Field(0.1, ge=0, le=1, description="highest share of members it names at 1 % false alarms")
    lira_auc: float = Field(0.75, ge=0.5, le=1, description="highest AUC of an attack by shadow models, on any part")
    lira_tpr: float = Field(0.2, ge=0, le=1, description="highest share of members it names at 1 % false alarms")
    statistics_images: int = Field(10, ge=2, description="fewest training images of a class that sends statistics")
    statistics_auc: float = Field(0.65, ge=0.5, le=1, description="highest AUC of an attack on the class statistics")
    statistics_tpr: float = Field(0.1, ge=0, le=1, description="highest share of members it names at 1 % false alarms")


def read_policy(path: Path) -> SitePolicy:
    """Read a site's policy from a TOML file; what it leaves out keeps its default.

    Raises InvalidInput naming the file, the key and what may stand there.
    """
    try:
        values = tomllib.loads(read_file(path, "the site's policy").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the site's policy {path} is not TOML ({error}); mend it") from error
    try:
        return SitePolicy.model_validate(values, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(SitePolicy.model_fields)
            raise InvalidInput(f"the site's policy {path} has an unknown key {key!r}; it knows {known}") from error
        raise InvalidInput(
            f"the site's policy {path} says {key} = {first['input']!r}, which cannot be ({first['msg']}); change it"
        ) from error
