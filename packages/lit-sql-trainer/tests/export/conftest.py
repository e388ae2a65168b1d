"""A run whose checkpoints differ from its base, made without training."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import PROFILES
from lit_sql_trainer.profile import to_plain
from lit_sql_trainer.runs import RunFolder, append_line, create_run


def shifted(model: Any, amount: float) -> Any:
    """The model with every weight a little different, the same for the same amount."""
    import torch

    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="session")
def trained_folder(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with the random model's weights, all changed."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("trained") / "model"
    shutil.copytree(random_model, folder)
    shifted(AutoModelForCausalLM.from_pretrained(random_model), 0.5).save_pretrained(folder)
    return folder


@pytest.fixture
def make_run(random_model: Path, toy_data: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """A function that makes a run folder around a checkpoint."""

    def make(checkpoint: Path, *, best: bool = True) -> RunFolder:
        profile = dataclasses.replace(PROFILES["tiny"], model=str(random_model), data=toy_data)
        run = create_run(tmp_path / "runs", profile="tiny", config=to_plain(profile), name="r1")
        place = run.checkpoints / ("best" if best else "last")
        shutil.copytree(checkpoint, place)
        (place / "state.json").write_text(json.dumps({"step": 40}))
        (place / "optimiser.pt").write_bytes(b"not for export")
        for step, matched in ((0, 3), (40, 7)):
            line = {"event": "validation", "step": step, "rollouts": 12, "outcomes": {"match": matched}}
            append_line(run.metrics_file, line)
        return run

    return make
