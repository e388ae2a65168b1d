"""Finds what to evaluate: a run's checkpoint, a model folder or an endpoint, and the settings to ask it under."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.errors import ConfigError, ModelError
from lit_sql_trainer.local.hosted import serving, serving_settings
from lit_sql_trainer.machine.endpoints import ModelEndpoint, served_model
from lit_sql_trainer.models.checkpoints import Checkpoint
from lit_sql_trainer.models.folder import model_source, weights_digest
from lit_sql_trainer.models.source import Kind, find_model, find_source
from lit_sql_trainer.profile.named import PLAIN_PROFILE, PROFILES, profile_named
from lit_sql_trainer.profile.overrides import apply_assignments, from_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.runs.folder import open_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model and the settings that it is asked under."""

    label: str
    """For people."""
    model: str
    """A folder, a Hugging Face id, or the name at the endpoint."""
    profile: Profile
    """Its rollout settings decide the prompts; see `serving_settings` for a local model."""
    endpoint: str | None = None
    """Base URL; None serves `model` in this process."""
    weights: str = ""
    """Digest of the model's files; empty when they are not on this machine."""
    run: Path | None = None

    @contextmanager
    def open(self) -> Generator[ModelEndpoint]:
        """Serve the model while the block runs.

        Raises:
            ModelError: the model cannot be loaded.
            SetupError: its server does not start.
        """
        if self.endpoint is not None:
            yield ModelEndpoint(url=self.endpoint, model=self.model)
            return
        with serving(self.model, serving_settings(self.profile)) as endpoint:
            yield endpoint


def find_target(
    *,
    run: Path | str | None = None,
    runs: Path = Path("runs"),
    checkpoint: Checkpoint = Checkpoint.BEST,
    model: str | None = None,
    endpoint: str | None = None,
    profile: str | None = None,
    assignments: Sequence[str] = (),
) -> Target:
    """Find what to evaluate: a run's checkpoint; else `model` at `endpoint`; else a model folder, by default the tiny
    model.

    The settings are the run's own, else those of the named profile, else those that a model folder was trained under,
    else `tiny` for a local model and full prompts for an endpoint; `assignments` (`key=value`) change single settings.
    With a run *and* an endpoint, the endpoint is assumed to serve the run's model and is asked under its settings.

    Raises:
        ConfigError: the combination or an assignment makes no sense.
        RunError, ModelError, SetupError: the run, the model or the endpoint cannot be used.
    """
    if run is not None and (profile is not None or (model is not None and endpoint is None)):
        raise ConfigError("a run brings its own model and settings: leave out --model and --profile, or --run")
    if run is not None:
        return _of_run(run, runs, checkpoint, model, endpoint, assignments)
    if endpoint is not None:
        chosen = profile_named(profile) if profile else PLAIN_PROFILE
        return _of_endpoint(endpoint, model, apply_assignments(chosen, assignments), label="")
    source = model_source(model)
    chosen = profile_named(profile) if profile else _settings_of(Path(source)) or PROFILES["tiny"]
    chosen = apply_assignments(chosen, assignments)
    label = f"model {model}" if model else "the tiny model of this package"
    return Target(label=label, model=source, profile=chosen, weights=weights_digest(source))


def _of_run(
    run: Path | str,
    runs: Path,
    checkpoint: Checkpoint,
    model: str | None,
    endpoint: str | None,
    assignments: Sequence[str],
) -> Target:
    folder = open_run(run, root=runs)
    profile = apply_assignments(from_plain(Profile, folder.config()), assignments)
    if endpoint is not None:
        target = _of_endpoint(endpoint, model, profile, label=f"run {folder.name} at {endpoint}")
        return dataclasses.replace(target, run=folder.path)
    source = find_source(folder.path, checkpoint=checkpoint)
    if source.kind is not Kind.HUGGING_FACE:
        raise ModelError(
            f"{source.label} is saved as {source.kind}, which no server here loads: run `lit-sql export {run} FOLDER`, "
            f"then evaluate with --model FOLDER"
        )
    step = "" if source.step is None else f" (step {source.step})"
    return Target(
        label=f"run {folder.name}, checkpoint {checkpoint}{step}",
        model=str(source.path),
        profile=profile,
        weights=weights_digest(str(source.path)),
        run=folder.path,
    )


def _settings_of(folder: Path) -> Profile | None:
    """The settings that a model folder was trained under: its run's, or those that `lit-sql export` wrote into it."""
    if not folder.is_dir():
        return None
    return find_model(folder).profile


def _of_endpoint(endpoint: str, model: str | None, profile: Profile, *, label: str) -> Target:
    name = served_model(endpoint, model)
    return Target(label=label or f"{name} at {endpoint}", model=name, profile=profile, endpoint=endpoint)
