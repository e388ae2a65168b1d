"""Sampling: right, reproducible, and independent of whoever else is in the batch."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")

from lit_sql_trainer.errors import ModelError  # noqa: E402
from lit_sql_trainer.local.generate import FinishReason, Generator, Request  # noqa: E402
from lit_sql_trainer.local.policy import Policy, load_policy  # noqa: E402


@pytest.fixture(scope="module")
def policy(model_folder: Path) -> Policy:
    torch.set_num_threads(1)
    return load_policy(model_folder)


def requests(count: int, *, prompts: int = 9, **settings: Any) -> list[Request]:
    dice = random.Random(1)
    pool = [tuple(dice.randrange(3, 250) for _ in range(dice.randrange(5, 70))) for _ in range(prompts)]
    return [
        Request(prompt_ids=pool[number % prompts], max_tokens=dice.randrange(1, 24), seed=number, **settings)
        for number in range(count)
    ]


def test_a_reply_does_not_depend_on_its_batch_mates(policy: Policy) -> None:
    """Tokens and log-probabilities are equal to the last bit alone, in threes, and all together, at any lengths."""
    sample = policy.generator()
    asked = [*requests(40), *(replace(each, prompt_ids=each.prompt_ids * 4) for each in requests(8))]
    together = sample(asked)
    alone = [sample([request])[0] for request in asked]
    threes = [reply for start in range(0, len(asked), 3) for reply in sample(asked[start : start + 3])]
    assert together == alone == threes


def test_greedy_is_what_transformers_does(policy: Policy) -> None:
    """Temperature 0 gives the tokens of `generate(do_sample=False)`."""
    for request in requests(6, temperature=0.0):
        (reply,) = policy.generator()([request])
        expected = policy.model.generate(
            input_ids=torch.tensor([request.prompt_ids]),
            max_new_tokens=request.max_tokens,
            do_sample=False,
            pad_token_id=0,
        )[0, len(request.prompt_ids) :]
        assert list(reply.token_ids) == expected.tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_logprobs_are_those_of_the_tempered_model(policy: Policy, temperature: float) -> None:
    """Each sampled token's log-probability equals that of a full forward pass at the same temperature."""
    for request in requests(6, temperature=temperature):
        (reply,) = policy.generator()([request])
        ids = torch.tensor([[*request.prompt_ids, *reply.token_ids]])
        with torch.no_grad():
            table = torch.log_softmax(policy.model(ids).logits[0].float() / temperature, -1)
        start = len(request.prompt_ids) - 1
        expected = [table[start + place, token].item() for place, token in enumerate(reply.token_ids)]
        assert reply.logprobs == pytest.approx(expected, abs=1e-4)


def test_draws_follow_the_distribution(policy: Policy) -> None:
    """The first token's frequencies over 4 000 seeds agree with its probabilities (chi-square, seeded)."""
    prompt = requests(1)[0].prompt_ids
    replies = policy.generator()([Request(prompt_ids=prompt, max_tokens=1, seed=seed) for seed in range(4000)])
    seen = Counter(reply.token_ids[0] for reply in replies)
    with torch.no_grad():
        expected = 4000 * policy.model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    common = [token for token in range(len(expected)) if expected[token] >= 5]
    statistic = sum((seen[token] - float(expected[token])) ** 2 / float(expected[token]) for token in common)
    assert len(common) > 20
    assert statistic < len(common) + 4 * (2 * len(common)) ** 0.5


def test_one_seed_draws_anew_for_another_prompt(policy: Policy) -> None:
    """A rollout's seed serves all its turns: with another prompt the random numbers differ, again they do not."""
    from lit_sql_trainer.rollouts.seeds import noise_seed

    assert noise_seed(7, (1, 2, 3)) == noise_seed(7, (1, 2, 3))
    assert len({noise_seed(7, (1, 2, 3)), noise_seed(7, (1, 2, 4)), noise_seed(8, (1, 2, 3))}) == 3


def test_top_p_keeps_to_the_likeliest(policy: Policy) -> None:
    """A tiny nucleus leaves only the likeliest token; the reported log-probability is still the whole model's."""
    asked = requests(8)
    narrow = policy.generator()([Request(prompt_ids=r.prompt_ids, max_tokens=4, seed=1, top_p=1e-6) for r in asked])
    greedy = policy.generator()([Request(prompt_ids=r.prompt_ids, max_tokens=4, temperature=0.0) for r in asked])
    assert narrow == greedy
    assert all(logprob < -1e-3 for reply in narrow for logprob in reply.logprobs)


def test_a_stop_string_ends_the_reply(policy: Policy) -> None:
    """The reply ends with the token that completes the stop string and keeps that token."""
    (free,) = policy.generator()([Request(prompt_ids=(5, 6, 7), max_tokens=30, seed=3)])
    text = policy.decode(free.token_ids)
    stop = next(character for character in text[3:] if character.isascii() and character.isprintable())
    (cut,) = policy.generator()([Request(prompt_ids=(5, 6, 7), max_tokens=30, seed=3, stop=(stop,))])
    assert cut.finish is FinishReason.STOP
    assert free.token_ids[: len(cut.token_ids)] == cut.token_ids
    assert policy.decode(cut.token_ids).endswith(stop)
    assert stop not in policy.decode(cut.token_ids[:-1])


def test_an_end_token_ends_the_reply(policy: Policy) -> None:
    """Replies that meet an end token stop there, with the token; the others run to their length."""
    (free,) = policy.generator()([Request(prompt_ids=(9, 8), max_tokens=20, seed=5)])
    end = free.token_ids[7]
    sample = Generator(policy.model, end_ids=[end], decode=policy.decode)
    (reply,) = sample([Request(prompt_ids=(9, 8), max_tokens=20, seed=5)])
    assert reply.token_ids == free.token_ids[: free.token_ids.index(end) + 1]
    assert reply.finish is FinishReason.STOP
    assert free.finish is FinishReason.LENGTH


def test_windowed_attention_is_refused(policy: Policy) -> None:
    """A model whose layers see only a window is an error with a next step, not a wrong reply."""

    class Windowed:
        config = type("Config", (), {"layer_types": ["full_attention", "sliding_attention"]})()

    with pytest.raises(ModelError, match="full attention"):
        Generator(Windowed(), end_ids=[0], decode=policy.decode)
