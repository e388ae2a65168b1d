"""Batched sampling from a Hugging Face causal model, where a reply never depends on its batch mates.

Rows of a batch share nothing but matrix products. Keys and values are stored left-aligned, each row at its own
length, so padding stands only behind a row's last position, where it adds exact zeros; equal prompts are read once;
finished rows leave the batch. A reply is fixed by its prompt, its seed and the weights, because every position has
its own random number.

With `exact`, tokens *and* log-probabilities are equal to the last bit whatever else is asked for at the same time. On
a CPU a product's rounding depends on its number of rows only below about 16 rows, so rows are padded to a multiple of
16; and it depends on the width of attention, so prompts of another length class (`columns_for`) make a batch of their
own. That 16 rows are enough is a property of the matrix library, not of this code; `tests/local/test_generate.py`
checks it on the machine at hand. Without `exact`, or on a GPU, sums may differ in their last bits and a draw within
that distance of a boundary may come out differently.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import torch

from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.local.causal import CausalModel
from lit_sql_trainer.local.key_values import KeyValueStore, columns_for
from lit_sql_trainer.rollouts.seeds import noise_seed

_EXACT_ROWS = 16
_PREFILL_TOKENS = 8192  # padded tokens per forward pass over prompts


class FinishReason(StrEnum):
    """Why a reply ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One reply to sample."""

    prompt_ids: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    seed: int | None = None
    """None draws a fresh one."""
    stop: tuple[str, ...] = ()
    """The reply ends with the token that completes one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was sampled."""

    token_ids: tuple[int, ...]
    """Includes the end token or the tokens of the stop string, when there was one."""
    logprobs: tuple[float, ...]
    """Of each token under the tempered distribution (temperature 1 when greedy), before `top_p` cuts it."""
    finish: FinishReason


class DecodingStopped(RuntimeError):
    """Nobody waits for the replies any more."""


class Generator:
    """Samples from one model. Holds no state between calls except the model itself.

    Not thread-safe, and the weights must not change during a call.
    """

    def __init__(
        self,
        model: CausalModel,
        *,
        end_ids: Sequence[int],
        decode: Callable[[Sequence[int]], str],
        exact: bool = True,
    ) -> None:
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise ModelError(
                f"the local server supports models with full attention in every layer, this one has {sorted(kinds)}; "
                f"train it on a GPU profile instead"
            )
        self.model = model
        self.end_ids = frozenset(end_ids)
        self.decode = decode
        self.exact = exact
        self.steps = 0
        """Passes through the model so far: as long as this grows, the replies are being worked on."""
        self.abort = False
        """Set it from another thread to have the present call, and each later one, raise `DecodingStopped`."""

    @torch.inference_mode()
    def __call__(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in the order of the requests. Cost grows with the longest reply, not with their sum."""
        if not requests:
            return []
        was_training = self.model.training
        self.model.eval()
        try:
            return self._by_class(requests) if self.exact else self._generate(requests)
        finally:
            self.model.train(was_training)

    def _by_class(self, requests: Sequence[Request]) -> list[Reply]:
        """One batch for each length class of prompts."""
        classes: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            classes.setdefault(columns_for(len(request.prompt_ids)), []).append(index)
        replies: dict[int, Reply] = {}
        for indices in classes.values():
            replies.update(zip(indices, self._generate([requests[index] for index in indices]), strict=True))
        return [replies[index] for index in range(len(requests))]

    def _generate(self, requests: Sequence[Request]) -> list[Reply]:
        prompts = sorted({request.prompt_ids for request in requests}, key=len)
        place = {prompt: index for index, prompt in enumerate(prompts)}
        store, logits = self._prefill(prompts)
        rows = _Rows(requests, self.model.device)
        origin = torch.tensor([place[request.prompt_ids] for request in requests], device=self.model.device)
        padded = self._pad_rows(origin)
        store.select(padded)
        logits = logits[origin]
        while True:
            tokens = rows.sample(logits)
            alive = rows.finish(tokens, self.end_ids, self.decode)
            if not alive:
                return rows.replies()
            if len(self._pad_rows(torch.tensor(alive))) <= 0.75 * store.rows:
                store.select(self._pad_rows(torch.tensor(alive, device=self.model.device)))
                rows.keep(alive)
                tokens = tokens[torch.tensor(alive, device=tokens.device)]
            logits = self._decode_step(tokens, store)[: len(tokens)]

    def _pad_rows(self, index: torch.Tensor) -> torch.Tensor:
        """The row numbers, when `exact` with the last one repeated up to a multiple of 16."""
        missing = -len(index) % _EXACT_ROWS if self.exact else 0
        return torch.cat([index, index[-1:].expand(missing)]) if missing else index

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> tuple[KeyValueStore, torch.Tensor]:
        """Read each prompt (sorted by length) once; logits (prompts, vocabulary) of the token that follows."""
        store = KeyValueStore(lengths=[len(prompt) for prompt in prompts], device=self.model.device)
        logits: list[torch.Tensor] = []
        start = 0
        while start < len(prompts):
            end = start + 1
            while end < len(prompts) and columns_for(len(prompts[end])) * (end + 1 - start) <= _PREFILL_TOKENS:
                end += 1
            logits.append(self._read(prompts[start:end], store, start))
            start = end
        return store, torch.cat(logits)

    def _read(self, prompts: Sequence[tuple[int, ...]], store: KeyValueStore, first: int) -> torch.Tensor:
        self._begin_pass()
        columns = columns_for(len(prompts[-1]))
        ids = torch.zeros((len(prompts), columns), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        ids = ids.to(self.model.device)
        causal = torch.full((columns, columns), _minimum(self.model), device=self.model.device).triu(1)
        store.reading = range(first, first + len(prompts))
        hidden = self.model.base_model(
            input_ids=ids,
            attention_mask=causal.expand(len(prompts), 1, -1, -1).to(self.model.dtype),
            position_ids=torch.arange(columns, device=self.model.device).expand(len(prompts), -1),
            cache_position=torch.arange(columns, device=self.model.device),
            past_key_values=store,
            use_cache=True,
        ).last_hidden_state
        last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=self.model.device)
        final = hidden[torch.arange(len(prompts), device=self.model.device), last]
        index = self._pad_rows(torch.arange(len(prompts), device=self.model.device))
        return self.model.get_output_embeddings()(final[index])[: len(prompts)].float()

    def _begin_pass(self) -> None:
        if self.abort:
            raise DecodingStopped("the server is stopping")
        self.steps += 1

    def _decode_step(self, tokens: torch.Tensor, store: KeyValueStore) -> torch.Tensor:
        """Append one token to every row (padding rows repeat the last); logits (rows, vocabulary)."""
        self._begin_pass()
        missing = store.rows - len(tokens)
        column = torch.cat([tokens, tokens[-1:].expand(missing)]) if missing else tokens
        store.advance(_minimum(self.model))
        hidden = self.model.base_model(
            input_ids=column[:, None],
            attention_mask=store.mask[:, None, None, : store.width].to(self.model.dtype),
            position_ids=store.positions[:, None],
            cache_position=store.positions[-1:],
            past_key_values=store,
            use_cache=True,
        ).last_hidden_state
        return self.model.get_output_embeddings()(hidden[:, -1]).float()


class _Rows:
    """The replies under way: their settings, their random numbers, what they have said so far."""

    def __init__(self, requests: Sequence[Request], device: torch.device) -> None:
        self.requests = requests
        self.device = device
        self.tokens: list[list[int]] = [[] for _ in requests]
        self.logprobs: list[list[float]] = [[] for _ in requests]
        self.reasons: list[FinishReason | None] = [None] * len(requests)
        self.live = list(range(len(requests)))
        self.noise = torch.nn.utils.rnn.pad_sequence([_noise(request) for request in requests], batch_first=True)
        self.position = 0
        self._settings()

    def sample(self, logits: torch.Tensor) -> torch.Tensor:
        """One token for each live row; inverse-CDF sampling with the row's own number for this position."""
        logprobs = torch.log_softmax(logits / self.temperature[:, None], dim=-1)
        uniform = self.noise[self.live, self.position].to(self.device)
        tokens = torch.where(self.greedy, logits.argmax(-1), _inverse_cdf(logprobs, uniform, self.top_p))
        chosen = logprobs.gather(-1, tokens[:, None])[:, 0].tolist()
        for row, token, logprob in zip(self.live, tokens.tolist(), chosen, strict=True):
            if self.reasons[row] is None:
                self.tokens[row].append(token)
                self.logprobs[row].append(logprob)
        self.position += 1
        return tokens

    def finish(
        self, tokens: torch.Tensor, end_ids: frozenset[int], decode: Callable[[Sequence[int]], str]
    ) -> list[int]:
        """Close the replies that just ended; places (among the live rows) of those that go on."""
        drawn = cast("list[int]", tokens.tolist())  # pyright: ignore[reportUnknownMemberType]  torch leaves it open
        for row, token in zip(self.live, drawn, strict=True):
            if self.reasons[row] is None:
                self.reasons[row] = self._reason(row, token, end_ids, decode)
        return [place for place, row in enumerate(self.live) if self.reasons[row] is None]

    def keep(self, places: Sequence[int]) -> None:
        """Forget the rows that have ended."""
        self.live = [self.live[place] for place in places]
        self._settings()

    def replies(self) -> list[Reply]:
        """All replies, in the order of the requests."""
        return [
            Reply(token_ids=tuple(tokens), logprobs=tuple(logprobs), finish=reason or FinishReason.LENGTH)
            for tokens, logprobs, reason in zip(self.tokens, self.logprobs, self.reasons, strict=True)
        ]

    def _settings(self) -> None:
        live = [self.requests[row] for row in self.live]
        self.greedy = torch.tensor([request.temperature == 0 for request in live], device=self.device)
        self.temperature = torch.tensor([request.temperature or 1.0 for request in live], device=self.device)
        top_p = [request.top_p for request in live]
        self.top_p = torch.tensor(top_p, device=self.device) if min(top_p) < 1 else None

    def _reason(
        self, row: int, token: int, end_ids: frozenset[int], decode: Callable[[Sequence[int]], str]
    ) -> FinishReason | None:
        request = self.requests[row]
        if token in end_ids:
            return FinishReason.STOP
        if request.stop and any(stop in decode(self.tokens[row]) for stop in request.stop):
            return FinishReason.STOP
        return FinishReason.LENGTH if len(self.tokens[row]) >= request.max_tokens else None


def _noise(request: Request) -> torch.Tensor:
    """One number in [0, 1) per position, from the request alone."""
    seed = secrets.randbits(53) if request.seed is None else noise_seed(request.seed, request.prompt_ids)
    return torch.rand(request.max_tokens, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _inverse_cdf(logprobs: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor | None) -> torch.Tensor:
    """Tokens (rows,) at the `uniform` quantile of each row; float64, so that a boundary is as wide as rounding."""
    probabilities = logprobs.double().exp()
    if top_p is not None:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(-1) - ordered >= top_p[:, None]
        probabilities = probabilities.scatter(-1, order, ordered.masked_fill(outside, 0.0))
    cumulative = probabilities.cumsum(-1)
    target = uniform[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_(max=logprobs.shape[-1] - 1)


def _minimum(model: CausalModel) -> float:
    return float(torch.finfo(model.dtype).min)
