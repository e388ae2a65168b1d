"""What a preflight is about, worked out once: the profile with its model, its data folder and its tasks.

What cannot be worked out is kept as the error that says so; the families that need it then have nothing to look at,
and the one whose business it is reports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lit_sql_trainer.data import embedded_data, read_split
from lit_sql_trainer.errors import DataError, TrainerError
from lit_sql_trainer.models.folder import model_source
from lit_sql_trainer.profile.profile import Profile
from spider_data import DatabaseCatalog, SpiderDataError, SpiderTask

Progress = Callable[[str], None]
"""Takes a few words about the check that is under way."""

SPLITS = ("train", "validation", "test")


@dataclass(kw_only=True)
class Subject:
    """One profile, seen by every family of checks."""

    profile: Profile
    runs: Path = Path("runs")
    """Where run folders would be made."""
    port: int | None = None
    """The port that the rollout store must take."""
    problems: dict[str, DataError] = field(default_factory=dict[str, DataError])
    """Split → why it has no tasks."""

    @cached_property
    def model(self) -> str:
        """Folder or Hugging Face id of the model, as named; not looked into."""
        return self.profile.model or model_source(None)

    @cached_property
    def model_folder(self) -> Path | None:
        """The model's folder, when it is one."""
        folder = Path(self.model)
        return folder if folder.is_dir() else None

    @cached_property
    def folder(self) -> Path:
        """The data folder.

        Raises:
            DataError: the embedded benchmark cannot be made.
        """
        return self.profile.data or embedded_data()

    @cached_property
    def catalog(self) -> DatabaseCatalog | None:
        """Its databases; None where there is no such folder."""
        try:
            return DatabaseCatalog(self.folder)
        except (SpiderDataError, TrainerError):
            return None

    @cached_property
    def tasks(self) -> dict[str, tuple[SpiderTask, ...]]:
        """The tasks that training would use, by split; splits without any are in `problems`."""
        limits = {"train": self.profile.train_tasks, "validation": self.profile.validation_tasks}
        found: dict[str, tuple[SpiderTask, ...]] = {}
        for split in SPLITS:
            try:
                found[split] = read_split(self.folder, split, limit=limits.get(split))
            except DataError as error:
                self.problems[split] = error
        return found

    @cached_property
    def answerable(self) -> tuple[SpiderTask, ...]:
        """Tasks of every split whose database is there."""
        catalog = self.catalog
        if catalog is None:
            return ()
        known = set(catalog.ids)
        return tuple(task for tasks in self.tasks.values() for task in tasks if task.db_id in known)
