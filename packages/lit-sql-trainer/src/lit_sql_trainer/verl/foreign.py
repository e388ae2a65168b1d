"""The objects of VERL, Ray and OmegaConf, which ship no types and are not there where types are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VerlConfig = dict[str, Any]
"""VERL's dictionary: sections in sections, plain values in the last; `config.check_config` knows the keys."""
Section = Mapping[str, Any]
"""The same or a part of it, to read."""
Foreign = Any
"""An object that only those libraries know the type of."""


def last_line(error: BaseException) -> str:
    """What Ray says of an error, in one line."""
    return str(error).strip().rpartition("\n")[2].strip() or type(error).__name__
