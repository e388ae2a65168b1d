"""How fast the local server samples: tokens and requests per second on a model of 0.9 million random parameters.

The decoder alone, and the whole way over HTTP with as many clients as two runner
processes make (2) and as fill a batch (32). Prompts have 120 tokens, replies up to 24; groups of 8 share a prompt, as
GRPO's do, or every prompt is its own. The last line is JSON.

    python benchmarks/local_server.py [--requests 128] [--repeats 5] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from lit_sql_trainer.local.generate import Request
from lit_sql_trainer.local.policy import Policy
from lit_sql_trainer.local.server import LocalServer

PROMPT_TOKENS, REPLY_TOKENS, GROUP = 120, 24, 8
FILLER = 1116 - 259


def make_policy() -> Policy:
    """The architecture of the tiny model, random weights, a byte tokenizer filled up to its vocabulary."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = special + alphabet + [f"<|filler{number}|>" for number in range(FILLER)]
    raw = Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(names)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    template = "{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}<|im_end|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(names),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=352,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    return Policy(model=Qwen2ForCausalLM(config), tokenizer=tokenizer, end_ids=(2,))


def text(dice: random.Random) -> str:
    """A message that becomes a prompt of `PROMPT_TOKENS` tokens: one byte each, and two special ones around."""
    return "".join(dice.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(PROMPT_TOKENS - 2))


def measure(work: Callable[[int], int], repeats: int, requests: int) -> dict[str, float]:
    """Median and range over repeats; `work` takes the number of its repeat and returns the tokens it sampled."""
    work(-1)  # warm up
    rates: list[float] = []
    tokens = 0
    for repeat in range(repeats):
        started = time.perf_counter()
        tokens = work(repeat)
        rates.append(tokens / (time.perf_counter() - started))
    middle = statistics.median(rates)
    return {
        "tokens_per_s": round(middle),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        "requests_per_s": round(middle * requests / tokens, 1),
    }


def decoder_arm(policy: Policy, requests: int, group: int) -> Callable[[int], int]:
    """All requests in one call of the generator."""
    sample = policy.generator()

    def work(repeat: int) -> int:
        dice = random.Random(repeat)
        prompts = [tuple(dice.randrange(3, 1116) for _ in range(PROMPT_TOKENS)) for _ in range(requests // group)]
        asked = [
            Request(prompt_ids=prompts[number // group], max_tokens=REPLY_TOKENS, seed=number)
            for number in range(requests)
        ]
        return sum(len(reply.token_ids) for reply in sample(asked))

    return work


def http_arm(server: LocalServer, requests: int, clients: int, *, announced: bool) -> Callable[[int], int]:
    """Groups of 8 over HTTP; `announced` tells the server which seeds belong together, as training does."""

    def work(repeat: int) -> int:
        dice = random.Random(repeat)
        texts = [text(dice) for _ in range(requests // GROUP)]
        server.forget()
        if announced:
            server.batcher.expect(range(start, start + GROUP) for start in range(0, requests, GROUP))

        def ask(client: httpx.Client, number: int) -> int:
            body: dict[str, Any] = {
                "model": server.name,
                "messages": [{"role": "user", "content": texts[number // GROUP]}],
                "max_tokens": REPLY_TOKENS,
                "seed": number,
            }
            answer = client.post(f"{server.url}/chat/completions", json=body, timeout=120).json()
            return answer["usage"]["completion_tokens"]

        with httpx.Client() as client, ThreadPoolExecutor(clients) as pool:
            return sum(pool.map(lambda number: ask(client, number), range(requests)))

    return work


def main() -> None:
    """Run all arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    policy = make_policy()
    requests = options.requests
    server = LocalServer(generator=policy.generator(), tokenizer=policy.tokenizer, context_tokens=512)
    server.start()
    arms = {
        "decoder, 16 prompts × 8": decoder_arm(policy, requests, GROUP),
        "decoder, 128 prompts": decoder_arm(policy, requests, 1),
        "HTTP, 2 clients": http_arm(server, requests, 2, announced=False),
        "HTTP, 2 clients, groups announced": http_arm(server, requests, 2, announced=True),
        "HTTP, 32 clients": http_arm(server, requests, 32, announced=False),
    }
    print(
        f"local server, {policy.parameters / 1e6:.2f} M parameters, {requests} prompts of {PROMPT_TOKENS} tokens, "
        f"up to {REPLY_TOKENS} new, {options.threads} thread(s), median of {options.repeats} runs (lowest–highest)"
    )
    results: dict[str, dict[str, float]] = {}
    for name, work in arms.items():
        results[name] = row = measure(work, options.repeats, requests)
        print(
            f"  {name:35} {row['tokens_per_s']:>7} tokens/s ({row['lowest']}–{row['highest']})"
            f"  {row['requests_per_s']:>7} requests/s"
        )
    server.stop()
    print(json.dumps({"bench": "local_server", "requests": requests, "threads": options.threads, "arms": results}))


if __name__ == "__main__":
    main()
