"""The memory estimate: arithmetic that can be checked by hand, and levels that follow from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import PROFILES
from lit_sql_trainer.machine.devices import Accelerator
from lit_sql_trainer.models import model_source
from lit_sql_trainer.preflight import Family, Level, hardware, preflight
from lit_sql_trainer.preflight.memory import GIB, checkpoint_bytes, estimates
from lit_sql_trainer.preflight.shape import count_parameters, read_shape, shape_of
from lit_sql_trainer.profile import apply_assignments

QWEN_1B5: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
LLAMA_1B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(("config", "parameters"), [(QWEN_1B5, 1_543_714_304), (LLAMA_1B, 1_235_814_400)])
def test_parameters_of_known_models(config: dict[str, Any], parameters: int) -> None:
    """The published counts of Qwen2.5-1.5B and Llama-3.2-1B, from their configurations alone."""
    assert shape_of(config).parameters == parameters


def test_the_formula_equals_the_count() -> None:
    """Of the tiny model, the configuration and the headers of the weights tell the same number."""
    folder = Path(model_source(None))
    config = json.loads((folder / "config.json").read_text())
    shape = read_shape(folder)
    assert shape is not None
    assert shape.exact
    assert shape.parameters == count_parameters(folder) == shape_of(config).parameters


def test_a_configuration_of_another_kind_has_no_shape(tmp_path: Path) -> None:
    """Nothing is guessed."""
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    assert read_shape(tmp_path) is None


def parts(profile: str, place: str, *settings: str) -> dict[str, int]:
    """Sizes of the parts of one estimate, for Qwen2.5-1.5B."""
    chosen = apply_assignments(PROFILES[profile], settings)
    found = {estimate.place: estimate for estimate in estimates(chosen, shape_of(QWEN_1B5))}
    return {part.name: part.size_bytes for part in found[place].parts}


def test_the_local_algorithm_by_hand() -> None:
    """4 P weights, 4 P gradients, 8 P optimizer; a reference model only with a KL term."""
    parameters = 1_543_714_304
    found = parts("tiny", "memory")
    assert (found["weights"], found["gradients"], found["optimizer"]) == tuple(n * parameters for n in (4, 4, 8))
    assert "reference model" not in found
    assert parts("tiny", "memory", "kl_coefficient=0.1")["reference model"] == 4 * parameters


def test_a_gpu_by_hand() -> None:
    """What is offloaded is in host memory while vLLM generates, and on the GPU while it updates."""
    parameters = 1_543_714_304
    assert parts("qwen", "GPU while updating")["optimizer"] == 8 * parameters
    assert parts("qwen", "GPU while generating") == {}
    assert parts("qwen", "memory")["offloaded optimizer"] == 8 * parameters
    resident = parts("qwen-80gb", "GPU while generating")
    assert resident == {"weights": 4 * parameters, "optimizer": 8 * parameters}


def test_a_lora_trains_few_parameters() -> None:
    """r (rows + columns) of the seven linear maps of each layer; gradients and optimizer are of these."""
    sides = 2 * (1536 + 1536) + 2 * (1536 + 256) + 3 * (1536 + 8960)
    found = parts("qwen", "GPU while updating", "lora_rank=32")
    assert found["gradients"] == 4 * 32 * 28 * sides
    assert found["weights"] == 4 * 1_543_714_304
    assert parts("qwen", "memory", "lora_rank=32")["offloaded optimizer"] == 8 * 32 * 28 * sides


def test_checkpoints_need_disk() -> None:
    """Locally 28 bytes a parameter at worst; with VERL 12, with a LoRA little above 4, for each one kept, the best, and
    the one being written.
    """
    shape = shape_of(QWEN_1B5)
    assert checkpoint_bytes(PROFILES["tiny"], shape) == 28 * shape.parameters
    assert checkpoint_bytes(PROFILES["qwen"], shape) == 12 * shape.parameters * 4
    assert checkpoint_bytes(apply_assignments(PROFILES["qwen"], ["save_freq=none"]), shape) == 0
    adapter = 32 * 28 * (2 * (1536 + 1536) + 2 * (1536 + 256) + 3 * (1536 + 8960))
    assert checkpoint_bytes(PROFILES["qwen-24gb"], shape) == (4 * shape.parameters + 8 * adapter) * 4


@pytest.mark.parametrize(
    ("gib", "levels"),
    [
        (80, {"GPU while updating": Level.PASS, "GPU while generating": Level.PASS}),
        (40, {"GPU while updating": Level.WARN, "GPU while generating": Level.PASS}),
        (16, {"GPU while updating": Level.FAIL, "GPU while generating": Level.PASS}),
    ],
)
def test_levels_follow_the_gpu(
    gib: int, levels: dict[str, Level], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is surely too much fails; what is too much only when every sequence is as long as allowed is a warning."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN_1B5))
    monkeypatch.setattr(hardware, "find_gpus", lambda: [Accelerator(name="a GPU", memory_gib=float(gib))])
    monkeypatch.setattr(hardware.admission, "check_accelerator", lambda profile: None)
    monkeypatch.setattr(hardware, "available_bytes", lambda: 64 * GIB)
    profile = dataclasses.replace(PROFILES["qwen"], model=str(tmp_path))
    report = preflight(profile, quick=True, only=[Family.HARDWARE])
    found = {finding.what: finding.level for finding in report.findings}
    assert {what: found[what] for what in levels} == levels, report.findings
    assert "accelerator" in found
