"""Whether training changed the model, and whether vLLM served what training made. Imports torch.

The weights of a `global_step_<n>` folder are compared with those the run started from, and vLLM's greedy replies in
the validations with Hugging Face's greedy replies under the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from lit_sql_trainer.models.source import Kind, Source
from lit_sql_trainer.models.weights import read_weights
from sql_train.proof.checks import Check

GRADIENT_TOLERANCE = 1e-3
"""Float32 sums in another order, of terms that nearly cancel."""
Replies = Mapping[tuple[int, ...], tuple[int, ...]]


def check_weights(start: Path, checkpoint: Path, *, before: Replies, after: Replies, eos: int) -> Iterator[Check]:
    """The checks on weights.

    Args:
        start: folder of the model that the run began with.
        checkpoint: a `global_step_<n>` folder; a LoRA in it is added to its base.
        before, after: greedy replies of vLLM under either, prompt tokens → reply tokens.
        eos: the token that ends a reply.

    Raises:
        ModelError: the checkpoint cannot be read.
    """
    loader: Any = AutoModelForCausalLM  # typed in part only
    model = loader.from_pretrained(start, dtype=torch.float32).eval()
    old = {name: value.clone() for name, value in model.state_dict().items()}
    yield _same_replies("vLLM served the start", model, before, eos=eos)
    source = Source(path=checkpoint / "actor", kind=Kind.FSDP, base=str(start))
    new = {name: value.float() for name, value in read_weights(source).items()}
    missing = sorted(set(old) ^ set(new))
    changed = [name for name in old if name in new and not torch.equal(old[name], new[name])]
    largest = max((float((old[name] - new[name]).abs().max()) for name in changed), default=0.0)
    yield Check(
        name="weights changed",
        holds=bool(changed) and not missing,
        detail=f"{len(changed)} of {len(old)} tensors, by up to {largest:.2e}" + (f", {missing}" if missing else ""),
    )
    model.load_state_dict(new)
    yield _same_replies("vLLM served the trained weights", model, after, eos=eos)
    shared = set(before) & set(after)
    differ = sum(before[prompt] != after[prompt] for prompt in shared)
    yield Check(
        name="greedy replies changed",
        holds=differ > 0,
        detail=f"{differ} of {len(shared)} prompts get another reply after training",
    )


def check_gradient(start: Path, rows: Sequence[Mapping[str, Any]], *, measured: float) -> Check:
    """Whether the first optimiser step's gradient has the norm that the objective gives for its rows.

    There the policy is the one that sampled, all ratios are 1, and the objective is the sum over rows of weight x
    advantage x the reply's log-probability, divided by the normaliser. How VERL cuts rows into micro-batches and
    spreads them over workers must not show.

    Args:
        start: folder of the model that the run began with.
        rows: the first mini-batch, as `ProofTrainer` wrote it down.
        measured: the norm before clipping, of VERL's actor.
    """
    loader: Any = AutoModelForCausalLM  # typed in part only
    model = loader.from_pretrained(start, dtype=torch.float32)
    for row in rows:
        prompt, reply = row["prompt_ids"], row["token_ids"]
        logits = model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(-1).gather(-1, torch.tensor(reply).unsqueeze(-1))
        (-row["advantage"] * row["weight"] / row["normaliser"] * logprobs.sum()).backward()
    squares = [float(weight.grad.square().sum()) for weight in model.parameters() if weight.grad is not None]
    expected = math.sqrt(sum(squares))
    return Check(
        name="gradient",
        holds=math.isclose(measured, expected, rel_tol=GRADIENT_TOLERANCE),
        detail=f"norm {measured:.6g} over {len(rows)} rows, by hand {expected:.6g}",
    )


def _same_replies(name: str, model: Any, replies: Replies, *, eos: int) -> Check:
    same = 0
    for prompt, reply in replies.items():
        with torch.no_grad():
            ids = torch.tensor([prompt])
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=len(reply),
                do_sample=False,
                eos_token_id=eos,
                pad_token_id=eos,
            )
        same += tuple(output[0, len(prompt) :].tolist()) == reply
    return Check(name=name, holds=bool(replies) and same == len(replies), detail=f"{same} of {len(replies)} replies")
