"""One rank of a small FSDP run on the CPU: shards a model and saves it, by itself or through VERL's own manager.

python write_shards.py RANK WORLD MODEL OUT (torch|verl)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM, AutoTokenizer

rank, world = int(sys.argv[1]), int(sys.argv[2])
source, out, writer = Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]
out.parent.mkdir(parents=True, exist_ok=True)  # a rendezvous file in no folder is waited for until the end
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{out.with_name('rendezvous')}", rank=rank, world_size=world
)
model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(source)
mesh = init_device_mesh("cpu", (world,), mesh_dim_names=("fsdp",))
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
if writer == "verl":
    from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager

    manager = FSDPCheckpointManager(
        model=model,
        optimizer=None,
        lr_scheduler=None,
        processing_class=tokenizer,
        checkpoint_config={"save_contents": ["model"], "load_contents": ["model"]},
    )
    manager.save_checkpoint(str(out), global_step=3)
else:
    out.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), out / f"model_world_size_{world}_rank_{rank}.pt")
    if rank == 0:
        model.config.save_pretrained(out / "huggingface")
        tokenizer.save_pretrained(out / "huggingface")
        (out / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": world}))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
