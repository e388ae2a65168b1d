"""Tell a user who gives the wrong folder of databases which one is meant."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from sql_reward.errors import InputError
from sql_reward.scoring.score import database_folder_exists

MAX_FOLDERS: Final = 2_000
"""Folders looked into."""


def wrong_level(root: Path, db_ids: Sequence[str]) -> InputError | None:
    """What to say if `root` holds none of the databases: which folder near it does. None if it holds some."""
    if not db_ids or any(database_folder_exists(root, db_id) for db_id in db_ids):
        return None
    reason = f"it holds no folder of a database that is asked for, {db_ids[0]!r} for one"
    for folder in _near(root):
        if any(database_folder_exists(folder, db_id) for db_id in db_ids[:20]):
            return InputError(root, reason, f"give {str(folder)!r}")
    return InputError(root, reason, f"give the folder of {db_ids[0]}/{db_ids[0]}.sqlite")


def _near(root: Path) -> Iterator[Path]:
    """The folders above, then those below, two levels each way."""
    yield from islice(root.absolute().parents, 2)
    for pattern in ("*", "*/*"):
        try:
            yield from islice((folder for folder in sorted(root.glob(pattern)) if folder.is_dir()), MAX_FOLDERS)
        except OSError:
            return
