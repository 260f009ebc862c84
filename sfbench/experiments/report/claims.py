"""What a study claims, as it was written beside its results."""

import json
from pathlib import Path
from typing import Any

from ...files import read_regular
from ..errors import StudyError

CLAIMS, _LARGEST = "claims.json", 10**7


def read_claims(folder: Path) -> list[dict[str, Any]]:
    """The claims of ``claims.json`` in a study's folder, if it is there; raises StudyError for anything else in it."""
    path = folder / CLAIMS
    if not path.exists():
        return []
    try:
        claims = json.loads(read_regular(path, _LARGEST, StudyError))["claims"]
        return [dict(claim.items()) for claim in claims]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{str(path)!r} does not hold claims; write it again with the study's own command") from None
