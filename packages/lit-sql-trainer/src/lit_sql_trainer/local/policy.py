"""The model being trained: loading it, and the log-probabilities of sampled replies with gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.local.causal import CausalModel, Tokenizer
from lit_sql_trainer.local.generate import Generator
from lit_sql_trainer.rollouts.episodes import Sampled

_SMALL = 20_000_000  # parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A causal language model with its tokenizer, in float32."""

    model: CausalModel
    tokenizer: Tokenizer
    end_ids: tuple[int, ...]
    """Tokens that end a reply."""

    @property
    def context_tokens(self) -> int:
        """The longest sequence that the model's positions allow."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 2**31)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def small(self) -> bool:
        """Whether overhead, not arithmetic, decides its speed."""
        return is_small(self.model)

    def generator(self) -> Generator:
        """A sampler of this model.

        A small model on a CPU is sampled exactly: a reply is independent of its batch to the last bit, which costs
        next to nothing there; a large model would pay for rows that nobody asked for.
        """
        return Generator(self.model, end_ids=self.end_ids, decode=self.decode, exact=self.small)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a reply, without special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))


def is_small(model: CausalModel) -> bool:
    """Whether a model has a few million parameters and is on a CPU: more than one thread would only wait for others."""
    return model.device.type == "cpu" and sum(parameter.numel() for parameter in model.parameters()) < _SMALL


def load_policy(path: str | Path, *, device: str = "cpu") -> Policy:
    """Load a Hugging Face folder (or hub name) for training.

    Weights are float32 everywhere, since Adam's small steps are lost in bfloat16.

    Raises:
        ModelError: model or tokenizer cannot be loaded, or its logits are not a plain product of its last states.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = cast("Tokenizer", AutoTokenizer.from_pretrained(path))  # pyright: ignore[reportUnknownMemberType]
        loaded = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)  # pyright: ignore[reportUnknownMemberType]
        model = cast("CausalModel", loaded).to(device)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(f"cannot load a model and its tokenizer from {str(path)!r}: {error}") from error
    policy = Policy(model=model, tokenizer=tokenizer, end_ids=_end_ids(model, tokenizer))
    model.set_attn_implementation("eager" if policy.small else "sdpa")
    _check_head(policy)
    return policy


def response_logprobs(
    policy: Policy, calls: Sequence[Sampled], *, temperature: float, micro_batch_tokens: int
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Log-probabilities of the replies under the present weights, a micro-batch at a time.

    Calls with the same prompt share one row: the prompt is read once, each reply sees the prompt and itself. Yields
    (indices of the calls, log-probabilities (tokens,), entropies (tokens,)), tokens in the order of those calls. The
    graph is kept when gradients are enabled; entropies are detached.
    """
    rows = _rows(calls, micro_batch_tokens)
    for batch in _micro_batches(rows, micro_batch_tokens):
        yield _forward(policy, batch, temperature)


@dataclass(frozen=True, slots=True)
class _PackedRow:
    """One prompt and some of the replies to it, end to end."""

    prompt_ids: tuple[int, ...]
    replies: tuple[tuple[int, tuple[int, ...]], ...]
    """(index of the call, its token ids)"""

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + sum(len(token_ids) for _, token_ids in self.replies)


def _rows(calls: Sequence[Sampled], micro_batch_tokens: int) -> list[_PackedRow]:
    """Group the calls by prompt; a row longer than a micro-batch is cut between replies."""
    by_prompt: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
    for index, call in enumerate(calls):
        by_prompt.setdefault(call.prompt_ids, []).append((index, call.token_ids))
    rows: list[_PackedRow] = []
    for prompt_ids, replies in by_prompt.items():
        part: list[tuple[int, tuple[int, ...]]] = []
        for reply in replies:
            if part and _PackedRow(prompt_ids, (*part, reply)).length > micro_batch_tokens:
                rows.append(_PackedRow(prompt_ids, tuple(part)))
                part = []
            part.append(reply)
        rows.append(_PackedRow(prompt_ids, tuple(part)))
    return sorted(rows, key=lambda row: row.length)


def _micro_batches(rows: Sequence[_PackedRow], tokens: int) -> Iterator[list[_PackedRow]]:
    batch: list[_PackedRow] = []
    for row in rows:
        if batch and row.length * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _forward(
    policy: Policy, rows: Sequence[_PackedRow], temperature: float
) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    model, device = policy.model, policy.model.device
    width = max(row.length for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    positions = torch.zeros_like(ids)
    visible = torch.eye(width, dtype=torch.bool).expand(len(rows), 1, -1, -1).clone()  # padding sees itself only
    indices: list[int] = []
    where: list[tuple[int, int]] = []  # (row, column) whose state predicts the next token of a reply
    targets: list[int] = []
    for number, row in enumerate(rows):
        start = len(row.prompt_ids)
        ids[number, :start] = torch.tensor(row.prompt_ids)
        positions[number, :start] = torch.arange(start)
        visible[number, 0, :start, :start] = torch.ones(start, start, dtype=torch.bool).tril()
        column = start
        for index, token_ids in row.replies:
            end = column + len(token_ids)
            ids[number, column:end] = torch.tensor(token_ids)
            positions[number, column:end] = torch.arange(start, start + len(token_ids))
            visible[number, 0, column:end, :start] = True
            visible[number, 0, column:end, column:end] = torch.ones(end - column, end - column).tril().bool()
            indices.append(index)
            where += [(number, start - 1), *((number, place) for place in range(column, end - 1))]
            targets += token_ids
            column = end
    mask = torch.zeros(visible.shape, dtype=model.dtype).masked_fill_(~visible, torch.finfo(model.dtype).min)
    states = model.base_model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=positions.to(device),
        cache_position=torch.arange(width, device=device),
        use_cache=False,
    ).last_hidden_state
    place = torch.tensor(where, device=device)
    logits = model.get_output_embeddings()(states[place[:, 0], place[:, 1]]).float() / temperature
    logprobs_V = torch.log_softmax(logits, dim=-1)
    target = torch.tensor(targets, device=device)
    with torch.no_grad():
        entropies = -(logprobs_V.exp() * logprobs_V).sum(-1)
    return indices, logprobs_V.gather(-1, target[:, None])[:, 0], entropies


def _end_ids(model: CausalModel, tokenizer: Tokenizer) -> tuple[int, ...]:
    configured: int | Sequence[int] | None = getattr(model.generation_config, "eos_token_id", None)
    ids = list(configured) if isinstance(configured, Sequence) else [configured]
    known = tuple(sorted({int(token) for token in (*ids, tokenizer.eos_token_id) if token is not None}))
    if not known:
        raise ModelError("neither the model nor its tokenizer names an end token, so no reply would ever end")
    return known


def _check_head(policy: Policy) -> None:
    """Compare the model's own logits with the short way taken here and in `generate`."""
    model = policy.model
    ids = torch.tensor([[policy.end_ids[0]] * 3], device=model.device)
    with torch.no_grad():
        own = model(input_ids=ids).logits.float()
        short = model.get_output_embeddings()(model.base_model(input_ids=ids).last_hidden_state).float()
    if not torch.allclose(own, short, atol=1e-3):
        raise ModelError(
            f"{type(model).__name__} changes its logits after the output layer, which local training does not "
            f"support; train it on a GPU profile instead"
        )
