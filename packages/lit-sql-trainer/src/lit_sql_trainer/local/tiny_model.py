"""The tiny model: a Qwen2 of under a million parameters that writes SQL for the embedded benchmark, and starts weak.

`models.folder.model_source(None)` is the one that ships with the package, an ordinary Hugging Face folder (it loads in
`AutoModelForCausalLM` and vLLM). `build_tiny_model` makes it again from the benchmark's training split: a byte-level
BPE tokenizer, random weights, then a supervised warm start on demonstrations with documented annotation noise
(`demonstrations.py`). So the model writes SQL that mostly runs but repeats its annotators' systematic mistakes; those
are what reinforcement learning then corrects. Validation and test questions are never shown.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.local.demonstrations import Demonstration, demonstrations
from lit_sql_trainer.local.warm_start import Example, Report, WarmStartSettings, warm_start

if TYPE_CHECKING:
    from lit_sql_trainer.local.causal import CausalModel, Tokenizer
    from spider_data import SpiderTask

RECIPE = "tiny_model.json"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELD_OUT = ("validation", "test")
"""Splits none of whose questions is ever shown."""
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModelSettings:
    """How the tiny model is built. The shipped one has the defaults."""

    vocabulary: int = 1280
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    feed_forward: int = 352
    context_tokens: int = 1024
    annotators: int = 12
    """Independent replies that each question gets."""
    noise_share: float = 0.63
    """Probability that a reply to a question of a family with a bad habit has it."""
    rewrite_share: float = 0.2
    """Of the replies, those that come with a rewrite demonstration."""
    varied_share: float = 0.9
    """Of the replies, those that are about other values than the training question; see `demonstrations.py`."""
    seed: int = 0
    threads: int = 1
    """Results are reproducible for one number of threads."""
    warm_start: WarmStartSettings = field(default_factory=WarmStartSettings)


def build_tiny_model(
    folder: Path, data: Path, settings: TinyModelSettings | None = None, report: Report | None = None
) -> Path:
    """Build and warm-start the model on the training split under `data`, into the new folder `folder`.

    Written beside its final name first, so a half-built model never has it.

    Raises:
        ModelError: `folder` exists.
    """
    import torch

    from spider_data import read_tasks

    settings = settings or TinyModelSettings()
    if folder.exists():
        raise ModelError(f"{folder} exists: name a new folder for the tiny model, or remove this one")
    torch.set_num_threads(settings.threads)
    tasks = read_tasks(data / "train.parquet")
    shown = demonstrations(
        tasks,
        data,
        seed=settings.seed,
        noise=_mistake,
        noise_share=settings.noise_share,
        rewrite_share=settings.rewrite_share,
        varied_share=settings.varied_share,
        annotators=settings.annotators,
        held_out={task.question for split in HELD_OUT for task in read_tasks(data / f"{split}.parquet")},
    )
    tokenizer = build_tokenizer(shown, settings)
    model = new_model(tokenizer, settings)
    warm_start(model, [encode(tokenizer, each) for each in shown], settings.warm_start, report)
    return _save(model, tokenizer, folder, settings, shown)


def _mistake(task: SpiderTask, draw: random.Random) -> str | None:
    """An annotator's mistake; habits are known for the families of the embedded benchmark, elsewhere there is none."""
    from spider_data.mini import noisy_demonstration

    return noisy_demonstration(task, draw) if task.task_id.startswith("mini-") else None


def build_tokenizer(shown: Sequence[Demonstration], settings: TinyModelSettings) -> Tokenizer:
    """A byte-level BPE tokenizer with a ChatML template, trained on the demonstrations' text."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=cast("list[str]", pre_tokenizers.ByteLevel.alphabet()),  # pyright: ignore[reportUnknownMemberType]  untyped
        show_progress=False,
    )
    texts = (text for each in shown for text in (*[message["content"] for message in each.messages], each.reply))
    inner.train_from_iterator(texts, trainer)  # pyright: ignore[reportUnknownMemberType]  tokenizers leaves it untyped
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        model_max_length=settings.context_tokens,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    return cast("Tokenizer", made)


def new_model(tokenizer: Tokenizer, settings: TinyModelSettings) -> CausalModel:
    """Random weights, fixed by the seed."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(settings.seed)  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.key_value_heads,
        intermediate_size=settings.feed_forward,
        max_position_embeddings=settings.context_tokens,
        tie_word_embeddings=True,
        rope_theta=10000.0,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",  # faster than sdpa at this size on a CPU
    )
    return cast("CausalModel", Qwen2ForCausalLM(config))


def encode(tokenizer: Tokenizer, shown: Demonstration) -> Example:
    """Token ids as the server makes them: the chat template for the prompt, the reply's text and the end token."""
    messages = list(shown.messages)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    reply = tokenizer.encode(shown.reply, add_special_tokens=False)
    return Example(prompt_ids=tuple(prompt), reply_ids=(*reply, cast("int", tokenizer.eos_token_id)))


def _save(
    model: CausalModel, tokenizer: Tokenizer, folder: Path, settings: TinyModelSettings, shown: Sequence[Demonstration]
) -> Path:
    import torch

    building = folder.with_name(f".{folder.name}.{os.getpid()}.building")
    try:
        model.to(torch.float16).save_pretrained(building)
        tokenizer.save_pretrained(building)
        facts = {
            "settings": asdict(settings),
            "parameters": sum(each.numel() for each in model.parameters()),
            "demonstrations": len(shown),
            "noisy": sum(each.noisy for each in shown),
            "rewrites": sum(each.node == "rewrite_query" for each in shown),
        }
        (building / RECIPE).write_text(json.dumps(facts, indent=2) + "\n")
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder
