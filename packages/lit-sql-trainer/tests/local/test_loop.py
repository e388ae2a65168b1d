"""Steps, checkpoints and resuming, with a scripted collector in place of runners and store: no library, no HTTP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")
pytest.importorskip("agentlightning")
from safetensors import SafetensorError  # noqa: E402

from lit_sql_trainer.errors import FailureLimitError, RunError  # noqa: E402
from lit_sql_trainer.local.checkpoint import (  # noqa: E402
    TrainingState,
    find_checkpoint,
    read_optimiser,
    read_state,
    save_checkpoint,
    sound_checkpoint,
    sweep,
)
from lit_sql_trainer.local.generate import Request  # noqa: E402
from lit_sql_trainer.local.learner import Learner  # noqa: E402
from lit_sql_trainer.local.loop import TrainingLoop  # noqa: E402
from lit_sql_trainer.local.policy import load_policy  # noqa: E402
from lit_sql_trainer.local.server import LocalServer  # noqa: E402
from lit_sql_trainer.profile import GrpoSettings  # noqa: E402
from lit_sql_trainer.rollouts import (  # noqa: E402
    Collected,
    DropWindow,
    Episode,
    PlannedRollout,
    Sampled,
)

TASKS = [{"text": text} for text in ("one", "two", "three", "four", "five")]
SETTINGS = GrpoSettings(
    steps=4,
    tasks_per_step=3,
    rollouts_per_task=4,
    learning_rate=5e-3,
    warmup_steps=3,
    validate_every=2,
    checkpoint_every=2,
    max_new_tokens=8,
    context_tokens=256,
    mini_batches=2,
)


class InProcess:
    """Rolls out in this process: one sampled reply, rewarded by the share of even bytes in it."""

    def __init__(self, server: LocalServer, *, fail_at: int | None = None, constant: Sequence[int] = ()) -> None:
        self.server = server
        self.drops = DropWindow(limit=0.02, size=256)
        self.fail_at = fail_at
        self.constant = constant
        self.asked: list[int] = []

    async def collect(self, plan: Sequence[PlannedRollout], *, train: bool, step: int) -> Collected:
        if train and step == self.fail_at:
            raise FailureLimitError("endpoint down")
        if train:
            self.asked.append(len(plan))
        requests = [
            Request(
                prompt_ids=tuple(planned.row["text"].encode()),
                max_tokens=8,
                seed=planned.seed,
                temperature=1.0 if train else 0.0,
            )
            for planned in plan
        ]
        replies = self.server.generator(requests)
        result = Collected(seconds=0.1)
        for planned, request, reply in zip(plan, requests, replies, strict=True):
            even = sum(token % 2 == 0 for token in reply.token_ids) / len(reply.token_ids)
            call = Sampled(prompt_ids=request.prompt_ids, token_ids=reply.token_ids, logprobs=reply.logprobs)
            result.episodes.append(
                Episode(
                    group=planned.group,
                    sample=planned.sample,
                    rollout_id=f"{planned.group}-{planned.sample}",
                    reward=0.5 if planned.task in self.constant else even,
                    calls=(call,),
                )
            )
        return result


class Watcher:
    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.validations: list[dict[str, Any]] = []

    def on_step(self, metrics: Any) -> None:
        self.steps.append(dict(metrics))

    def on_validation(self, metrics: Any) -> None:
        self.validations.append(dict(metrics))


def start(
    model: Path,
    checkpoints: Path,
    *,
    settings: GrpoSettings = SETTINGS,
    resume: Path | None = None,
    stop_after: int | None = None,
    collector: dict[str, Any] | None = None,
) -> tuple[TrainingLoop, Watcher]:
    torch.set_num_threads(1)
    policy = load_policy(find_checkpoint(resume) if resume else model)
    learner = Learner(policy, settings)
    state = TrainingState(seed=settings.seed)
    if resume:
        state = read_state(resume)
        learner.restore(read_optimiser(resume))
    server = LocalServer(generator=policy.generator(), tokenizer=policy.tokenizer, context_tokens=256)
    watcher = Watcher()
    loop = TrainingLoop(
        settings=settings,
        observer=watcher,
        should_stop=lambda: stop_after is not None and len(watcher.steps) >= stop_after,
        checkpoints=checkpoints,
        resumed=resume is not None,
        state=state,
        learner=learner,
        server=server,
        collector=InProcess(server, **(collector or {})),  # type: ignore[arg-type]
    )
    return loop, watcher


def weights(loop: TrainingLoop) -> list[torch.Tensor]:
    return list(loop.learner.policy.model.parameters())


NOT_NUMBERS = ("seconds", "tokens_per_s", "rss_mb", "server_busy_s", "batches")


def numbers(watcher: Watcher) -> list[dict[str, Any]]:
    """What must repeat: everything but times and memory."""
    return [{k: v for k, v in step.items() if not k.startswith(NOT_NUMBERS)} for step in watcher.steps]


async def run_unbroken(model: Path, folder: Path, **options: Any) -> tuple[TrainingLoop, Watcher]:
    loop, watcher = start(model, folder, **options)
    await loop.train(TASKS, TASKS)
    return loop, watcher


@pytest.fixture
def run(model_folder: Path) -> Any:
    """Run the coroutine of a whole training and return the loop and what was watched."""
    import asyncio

    def runner(folder: Path, **options: Any) -> tuple[TrainingLoop, Watcher]:
        return asyncio.run(run_unbroken(model_folder, folder, **options))

    return runner


def test_two_and_two_steps_are_four(run: Any, tmp_path: Path) -> None:
    """A run stopped after two steps and resumed has the weights, metrics and validations of an unbroken one, to the
    last bit.
    """
    whole, watched = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_after=2)
    second, rest = run(tmp_path / "parts", resume=tmp_path / "parts" / "last")
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))
    assert numbers(watched)[2:] == numbers(rest)
    assert [v["reward"] for v in watched.validations][-1] == rest.validations[-1]["reward"]
    assert [step["step"] for step in rest.steps] == [3, 4]


def test_one_seed_gives_one_run_and_another_gives_another(run: Any, tmp_path: Path) -> None:
    """Two runs of a seed are equal to the last bit; another seed is not."""
    settings = dataclasses.replace(SETTINGS, steps=2)
    first, watched = run(tmp_path / "a", settings=settings)
    again, watched_again = run(tmp_path / "b", settings=settings)
    other, _ = run(tmp_path / "c", settings=dataclasses.replace(settings, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    assert numbers(watched) == numbers(watched_again)
    assert not all(torch.equal(a, b) for a, b in zip(weights(first), weights(other), strict=True))


def test_validation_keeps_the_best(run: Any, tmp_path: Path) -> None:
    """Validations come at the start, every two steps and the end; the best one's weights stand in `best`."""
    _, watched = run(tmp_path)
    assert [v["step"] for v in watched.validations] == [0, 2, 4]
    best = max(watched.validations, key=lambda v: v["reward"])
    state = read_state(tmp_path / "best")
    assert (state.best_step, state.best_validation) == (best["step"], best["reward"])
    assert read_state(tmp_path / "last").step == 4
    with pytest.raises(RunError, match=r"no optimiser\.pt"):
        read_optimiser(tmp_path / "best")


def test_metrics_are_plain_values(run: Any, tmp_path: Path) -> None:
    """Every line can be written as JSON and names what a reader needs."""
    _, watched = run(tmp_path, settings=dataclasses.replace(SETTINGS, steps=1))
    line = json.loads(json.dumps(watched.steps[0]))
    needed = (
        "step reward rollouts dropped drop_reasons groups zero_variance_share turns response_tokens loss grad_norm "
        "clip_fraction kl_start entropy learning_rate tokens_per_s seconds_rollout seconds_adapt seconds_update rss_mb"
    )
    assert set(needed.split()) <= set(line)
    assert line["learning_rate"] == pytest.approx(SETTINGS.learning_rate / 3)


def test_flat_groups_are_replaced_within_the_budget(run: Any, tmp_path: Path) -> None:
    """With refill, tasks that teach nothing are replaced, but never by more than the batch again."""
    settings = dataclasses.replace(SETTINGS, steps=2, refill_factor=2.0)
    loop, watched = run(tmp_path / "some", settings=settings, collector={"constant": (0, 1, 2)})
    assert any(step["refilled_groups"] > 0 for step in watched.steps)
    assert all(step["groups"] <= 6 for step in watched.steps)
    _, flat = run(tmp_path / "all", settings=settings, collector={"constant": range(5)})
    assert [(step["groups"], step["zero_variance_share"], step["grad_norm"]) for step in flat.steps] == [
        (6, 1.0, 0.0)
    ] * 2
    assert loop.state.tasks_consumed == sum(step["groups"] for step in watched.steps)


def test_a_failing_run_keeps_its_finished_steps(run: Any, model_folder: Path, tmp_path: Path) -> None:
    """When a step fails, the steps before it are on disk and the run can be resumed to the same end."""
    with pytest.raises(FailureLimitError):
        run(tmp_path / "parts", collector={"fail_at": 4})
    assert read_state(tmp_path / "parts" / "last").step == 3
    resumed, _ = run(tmp_path / "parts", resume=tmp_path / "parts" / "last")
    whole, _ = run(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_an_interrupted_write_leaves_a_checkpoint(model_folder: Path, tmp_path: Path) -> None:
    """Killed between its two moves, a checkpoint is still found; half a checkpoint never stands in its place."""
    policy = load_policy(model_folder)
    place = save_checkpoint(tmp_path, "last", policy=policy, state=TrainingState(step=1), optimiser={})
    place.rename(tmp_path / "last.previous")  # as if killed here
    assert read_state(place).step == 1
    save_checkpoint(tmp_path, "last", policy=policy, state=TrainingState(step=2), optimiser={})
    assert read_state(place).step == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]
    with pytest.raises(RunError, match="no checkpoint"):
        find_checkpoint(tmp_path / "nothing")


OPTIMISER: dict[str, Any] = {"state": {}, "param_groups": []}


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda last: halve(last / "model.safetensors"),
        lambda last: (last / "model.safetensors").write_bytes(b""),
        lambda last: (last / "model.safetensors").unlink(),
        lambda last: halve(last / "optimiser.pt"),
        lambda last: (last / "optimiser.pt").write_bytes(b"rubbish"),
        lambda last: (last / "optimiser.pt").write_bytes(b""),
        lambda last: (last / "optimiser.pt").unlink(),
        lambda last: torch.save([1, 2], last / "optimiser.pt"),
        lambda last: (last / "state.json").write_text("{"),
        lambda last: halve(last / "config.json"),
        lambda last: halve(last / "tokenizer.json"),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(model_folder: Path, tmp_path: Path, damage: Any) -> None:
    """Whatever part is broken, a line says so and names the step; without a sound one before it, that is the error."""
    policy = load_policy(model_folder)
    for step in (1, 2):
        save_checkpoint(tmp_path, "last", policy=policy, state=TrainingState(step=step), optimiser=OPTIMISER)
    said: list[str] = []
    assert sound_checkpoint(tmp_path / "last", say=said.append) == tmp_path / "last"
    damage(tmp_path / "last")
    found = sound_checkpoint(tmp_path / "last", say=said.append)
    assert read_state(found).step == 1
    assert ["step 1" in line for line in said] == [True]
    damage(found)
    with pytest.raises(RunError, match="start the run again"):
        sound_checkpoint(found, say=said.append)


def test_beginnings_of_checkpoints_are_swept(tmp_path: Path) -> None:
    """What a killed process was writing goes; everything else stays."""
    for name in (".last.123", ".best.4", "last", ".last.keep"):
        (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".last.keep", "last"]


WRITERS = {
    "weights": "transformers.modeling_utils.safe_save_file",
    "optimiser": "torch.save",
    "state": "pathlib.Path.write_text",
}


@pytest.mark.parametrize("part", WRITERS)
def test_a_disk_that_fills_up_leaves_no_half_checkpoint(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Each library says it in its own way; the old checkpoint stays, the new beginning goes, and one line says why."""
    policy = load_policy(model_folder)
    save_checkpoint(tmp_path, "last", policy=policy, state=TrainingState(step=1), optimiser=OPTIMISER)

    def full(*args: Any, **options: Any) -> None:
        if part == "weights":
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        if part == "optimiser":
            raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0\nframe #0: c10")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WRITERS[part], full)
    with pytest.raises(RunError, match=r"cannot write checkpoint .*last: .*free some space") as caught:
        save_checkpoint(tmp_path, "last", policy=policy, state=TrainingState(step=2), optimiser=OPTIMISER)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert read_state(tmp_path / "last").step == 1


def test_a_full_disk_is_one_clear_error(model_folder: Path, tmp_path: Path) -> None:
    """Where a checkpoint cannot be written, the error says where and what to do."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(RunError, match="cannot write checkpoint"):
        save_checkpoint(tmp_path / "file", "last", policy=load_policy(model_folder), state=TrainingState())
