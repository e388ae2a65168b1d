"""Finds and reads models: model folders, checkpoints, adapters and their digests."""

from __future__ import annotations

from lit_sql_trainer.models.checkpoints import Checkpoint, last_checkpoint
from lit_sql_trainer.models.folder import check_model_folder, model_source
from lit_sql_trainer.models.source import Model, find_model

__all__ = ["Checkpoint", "Model", "check_model_folder", "find_model", "last_checkpoint", "model_source"]
