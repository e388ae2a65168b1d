"""The control arm: the tiny model, trained on with demonstrations for as long as reinforcement learning would take.

Continues the warm start of the shipped model on fresh demonstrations of the same noisy annotators (learning rate a
tenth of the warm start's, falling), for the wall time given, and writes a model folder for `lit-sql eval --model`.
The last line is JSON.

    python experiments/supervised_control.py FOLDER [--seconds 600] [--seed 0] [--learning-rate 3e-4]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from lit_sql_trainer.data import embedded_data
from lit_sql_trainer.local.demonstrations import demonstrations
from lit_sql_trainer.local.policy import load_policy
from lit_sql_trainer.local.tiny_model import TinyModelSettings, encode, tiny_model_folder
from lit_sql_trainer.local.warm_start import warm_start
from spider_data import read_tasks
from spider_data.mini import noisy_demonstration


def main() -> None:
    """Train for the given time and save the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings, data = TinyModelSettings(), embedded_data()
    policy = load_policy(tiny_model_folder())
    shown = demonstrations(
        read_tasks(data / "train.parquet"),
        data,
        seed=1000 + options.seed,
        noise=noisy_demonstration,
        noise_share=settings.noise_share,
        rewrite_share=settings.rewrite_share,
        varied_share=settings.varied_share,
        annotators=settings.annotators,
    )
    examples = [encode(policy.tokenizer, each) for each in shown]
    stage = replace(settings.warm_start, seed=options.seed, learning_rate=options.learning_rate)
    started = time.monotonic()
    warm_start(policy.model, examples, replace(stage, steps=20, learning_rate=0.0))  # only to know the speed
    steps = max(1, int(20 * options.seconds / (time.monotonic() - started)))
    started = time.monotonic()
    warm_start(policy.model, examples, replace(stage, steps=steps))
    policy.model.save_pretrained(options.folder)
    policy.tokenizer.save_pretrained(options.folder)
    print(json.dumps({"experiment": "supervised_control", "steps": steps, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
