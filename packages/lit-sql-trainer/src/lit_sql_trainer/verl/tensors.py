"""Rows as the tensors that VERL's workers read. Imports torch and verl."""

# verl and tensordict ship no types, and the environment in which types are checked has none of them:
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from verl import DataProto

from lit_sql_trainer.verl.plan import UpdatePlan
from lit_sql_trainer.verl.rows import Row, row_coefficients


def mini_batch_tensors(
    rows: Sequence[Row], *, plan: UpdatePlan, normaliser: float, pad_token: int, meta: dict[str, object]
) -> DataProto:
    """One mini-batch: prompts padded on the left, replies on the right, advantages on the replies' tokens.

    Rows without loss follow until every rank gets equally many: they repeat the first row, with advantage 0 and a
    single token in the mask (a mask without tokens would make VERL divide by zero).
    """
    coefficients = row_coefficients(rows, normaliser=normaliser, factor=plan.loss_factor)
    padding = -len(rows) % plan.ranks
    prompts = [_left(row.prompt_ids, plan.max_prompt, pad_token) for row in rows]
    replies = [_right(row.token_ids, plan.max_reply, pad_token) for row in rows]
    prompt_mask = [_left([1] * len(row.prompt_ids), plan.max_prompt, 0) for row in rows]
    reply_mask = [_right([1] * len(row.token_ids), plan.max_reply, 0) for row in rows]
    for _ in range(padding):
        for padded in (prompts, replies, prompt_mask, reply_mask):
            padded.append(padded[0])
    response_mask = torch.tensor(reply_mask)
    response_mask[len(rows) :, 1:] = 0
    attention_mask = torch.cat([torch.tensor(prompt_mask), torch.tensor(reply_mask)], dim=-1)
    column = torch.tensor([*coefficients, *[0.0] * padding], dtype=torch.float32).unsqueeze(-1)
    responses = torch.tensor(replies)
    batch = TensorDict(
        {
            "prompts": torch.tensor(prompts),
            "responses": responses,
            "input_ids": torch.cat([torch.tensor(prompts), responses], dim=-1),
            "attention_mask": attention_mask,
            "position_ids": torch.clamp(torch.cumsum(attention_mask, dim=-1) - 1, min=0),
            "response_mask": response_mask,
            "advantages": column * response_mask,
        },
        batch_size=len(rows) + padding,
    )
    meta = {**meta, "global_token_num": attention_mask.sum(dim=-1).tolist()}
    return DataProto(batch=batch, meta_info=meta)


def _left(values: Sequence[int], width: int, fill: int) -> list[int]:
    return [fill] * (width - len(values)) + list(values)


def _right(values: Sequence[int], width: int, fill: int) -> list[int]:
    return list(values) + [fill] * (width - len(values))
