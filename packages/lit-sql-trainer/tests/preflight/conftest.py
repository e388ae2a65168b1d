"""A data folder and a model folder without a fault, made of plain files: no test here needs torch."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spider_data import read_tasks, write_tasks

QWEN: dict[str, Any] = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 300,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}


@pytest.fixture
def sound_data(own_data: Path) -> Path:
    """The toy folder with questions of its own in each split; the test may damage it."""
    for split in ("validation", "test"):
        file = own_data / f"{split}.parquet"
        write_tasks(file, [replace(task, question=f"{split}: {task.question}") for task in read_tasks(file)])
    return own_data


@pytest.fixture
def paper_model(tmp_path: Path) -> Path:
    """A folder with everything that a preflight looks at; its weights are a header and a few zeros."""
    folder = tmp_path / "paper"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    header = json.dumps({"w": {"dtype": "F32", "shape": [7, 3], "data_offsets": [0, 84]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(84))
    return folder
