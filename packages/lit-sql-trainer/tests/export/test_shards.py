"""VERL's shards and LoRA adapters become the exact weights: put together in float32, scaled as peft scales."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lit_sql_trainer.cli import main

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")

WRITER = Path(__file__).with_name("write_shards.py")
HAS_VERL = importlib.util.find_spec("verl") is not None
HAS_PEFT = importlib.util.find_spec("peft") is not None


def weights_of(folder: Path) -> dict[str, Any]:
    """The tensors of a folder."""
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of tensors are equal, bit by bit."""
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def export(*arguments: object, code: int = 0) -> str:
    """What `lit-sql export …` prints; it must end with `code`."""
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def shard(model: Path, out: Path, *, world: int, writer: str) -> Path:
    """Save `model` as a run of `world` processes saves it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(WRITER)]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(world), str(model), str(out), writer],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    told = [rank.communicate(timeout=280)[1] for rank in ranks]
    assert all(rank.returncode == 0 for rank in ranks), told
    return out


@pytest.fixture(scope="module")
def shards(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model as two ranks of FSDP save it: `global_step_3/actor` with DTensors."""
    return shard(trained_folder, tmp_path_factory.mktemp("run") / "global_step_3" / "actor", world=2, writer="torch")


@pytest.mark.slow
def test_shards_of_two_ranks_become_one_model(
    shards: Path, trained_folder: Path, random_model: Path, tmp_path: Path
) -> None:
    """Neither a number nor its precision is lost, and the export loads and replies like the checkpoint."""
    export(shards.parent, tmp_path / "out", "--base", random_model, "--prompts=2")
    assert same(weights_of(tmp_path / "out"), weights_of(trained_folder))
    proof = json.loads((tmp_path / "out" / "proof.json").read_text())
    assert proof["replies_equal_checkpoint"] == 2
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.slow
def test_a_missing_rank_is_named(shards: Path, random_model: Path, tmp_path: Path) -> None:
    """Half a model is no model."""
    folder = tmp_path / "actor"
    shutil.copytree(shards, folder)
    (folder / "model_world_size_2_rank_1.pt").unlink()
    assert "lacks the shards of ranks [1] of 2" in export(folder, tmp_path / "out", "--base", random_model, code=2)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_VERL, reason="VERL is not installed: `uv sync --package lit-sql-trainer` brings it")
def test_what_verl_itself_writes(trained_folder: Path, random_model: Path, tmp_path: Path) -> None:
    """Its checkpoint manager's folder is read like our own imitation of it."""
    folder = shard(trained_folder, tmp_path / "global_step_3" / "actor", world=2, writer="verl")
    export(folder.parent, tmp_path / "out", "--base", random_model, "--prompts=2")
    assert same(weights_of(tmp_path / "out"), weights_of(trained_folder))


RANK, ALPHA = 4, 8
TARGET = "model.layers.0.self_attn.q_proj"


def lora(width: int) -> dict[str, Any]:
    """The two matrices of one adapted layer."""
    torch.manual_seed(2)
    return {"A": torch.randn(RANK, width), "B": torch.randn(width, RANK)}


def adapter_folder(folder: Path, base: Path, **config: Any) -> Path:
    """A LoRA of one layer as peft saves it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    width = weights_of(base)[f"{TARGET}.weight"].shape[0]
    pair = lora(width)
    save_file(
        {f"base_model.model.{TARGET}.lora_{side}.weight": tensor for side, tensor in pair.items()},
        folder / "adapter_model.safetensors",
    )
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj"], **config}
    settings["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(("stabilised", "scale"), [(False, ALPHA / RANK), (True, ALPHA / RANK**0.5)])
def test_an_adapter_is_added_to_its_base(random_model: Path, tmp_path: Path, stabilised: bool, scale: float) -> None:
    """W + scale · B A in the adapted layer, and the base everywhere else."""
    folder = adapter_folder(tmp_path / "adapter", random_model, use_rslora=stabilised)
    export(folder, tmp_path / "out", "--prompts=1")
    base, merged, pair = weights_of(random_model), weights_of(tmp_path / "out"), lora(32)
    wanted = base[f"{TARGET}.weight"] + scale * (pair["B"] @ pair["A"])
    assert torch.allclose(merged.pop(f"{TARGET}.weight"), wanted, atol=1e-6)
    base.pop(f"{TARGET}.weight")
    assert same(merged, base)
    assert json.loads((tmp_path / "out" / "proof.json").read_text())["changed_tensors"] == 1


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"lora_alpha": 0}, "it would change nothing"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_an_adapter_that_would_be_merged_wrongly_is_refused(
    random_model: Path, tmp_path: Path, config: dict[str, Any], told: str
) -> None:
    """An alpha of 0, as VERL's own merger writes it, is no LoRA; what is more than LoRA is left to peft."""
    folder = adapter_folder(tmp_path / "adapter", random_model, **config)
    assert told in export(folder, tmp_path / "out", code=2)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PEFT, reason="peft is not installed: `uv sync --package lit-sql-trainer` brings it")
def test_peft_merges_to_the_same(random_model: Path, tmp_path: Path) -> None:
    """The library that made the adapter agrees, up to rounding."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = adapter_folder(tmp_path / "adapter", random_model)
    export(folder, tmp_path / "out", "--prompts=0")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(random_model), folder).merge_and_unload()
    theirs, ours = model.state_dict(), weights_of(tmp_path / "out")
    assert all(torch.allclose(theirs[name], tensor, atol=1e-6) for name, tensor in ours.items())


def test_shards_with_an_adapter_inside(random_model: Path, tmp_path: Path) -> None:
    """VERL trains a LoRA with peft around the model; the scale stands in the adapter that it writes beside."""
    base, pair = weights_of(random_model), lora(32)
    state: dict[str, Any] = {}
    for name, tensor in base.items():
        inner = name.replace(TARGET, f"{TARGET}.base_layer")
        state[f"base_model.model.{inner}"] = tensor
    for side, tensor in pair.items():
        state[f"base_model.model.{TARGET}.lora_{side}.default.weight"] = tensor
    folder = tmp_path / "actor"
    adapter_folder(folder / "lora_adapter", random_model)
    torch.save(state, folder / "model_world_size_1_rank_0.pt")
    shutil.copytree(random_model, folder / "huggingface", ignore=shutil.ignore_patterns("*.safetensors"))
    export(folder, tmp_path / "out", "--base", random_model, "--prompts=1")
    merged = weights_of(tmp_path / "out")
    assert set(merged) == set(base)
    wanted = base[f"{TARGET}.weight"] + ALPHA / RANK * (pair["B"] @ pair["A"])
    assert torch.allclose(merged[f"{TARGET}.weight"], wanted, atol=1e-6)
