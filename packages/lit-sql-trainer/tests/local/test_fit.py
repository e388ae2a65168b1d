"""The whole loop on a toy: real trainer, runners, store, tracer, adapter; a random model; no SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import pytest

from lit_sql_trainer.machine.environment import free_port
from lit_sql_trainer.profile import GrpoSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

SETTINGS = GrpoSettings(
    steps=2,
    tasks_per_step=3,
    rollouts_per_task=4,
    max_new_tokens=12,
    context_tokens=256,
    learning_rate=1e-2,
    warmup_steps=1,
    validate_every=0,
    max_dropped_share=0.5,
    dropped_window=32,
    rollout_timeout_s=60,
)


class Watcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.validations: list[dict[str, Any]] = []

    def on_step(self, metrics: Any) -> None:
        self.steps.append(dict(metrics))

    def on_validation(self, metrics: Any) -> None:
        self.validations.append(dict(metrics))


def toy_agent() -> Any:
    """Two turns with a model whose reward is the share of vowels it wrote; fails on purpose for task 'broken'."""
    import agentlightning as agl
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        messages: list[tuple[str, str]]
        text: str
        turns: int

    class Toy(agl.LitAgent[dict[str, Any]]):
        def rollout(self, task: dict[str, Any], resources: agl.NamedResources, rollout: agl.Rollout) -> float:
            if task["question"] == "broken":
                raise RuntimeError("the database of this toy is missing")
            llm = resources["main_llm"]
            greedy = rollout.mode != "train"
            chat = ChatOpenAI(
                model=llm.model,
                base_url=llm.get_base_url(rollout.rollout_id, rollout.attempt.attempt_id),
                api_key="x",
                temperature=0.0 if greedy else llm.sampling_parameters["temperature"],
                max_tokens=12,
                max_retries=0,
            )
            seed = rollout.metadata["sampling_seed"]

            def write_query(state: State) -> State:
                reply = chat.invoke(state["messages"], seed=seed)
                messages = [*state["messages"], ("assistant", str(reply.content)), ("user", "again")]
                return {"messages": messages, "text": state["text"] + str(reply.content), "turns": state["turns"] + 1}

            def check_query(state: State) -> State:
                if state["turns"] == 1:
                    chat.invoke([("user", "is it good?")], seed=seed)
                return state

            graph = StateGraph(State)
            graph.add_node("write_query", write_query)
            graph.add_node("check_query", check_query)
            graph.add_edge(START, "write_query")
            graph.add_edge("write_query", "check_query")
            graph.add_conditional_edges("check_query", lambda state: END if state["turns"] == 2 else "write_query")
            start: State = {"messages": [("user", task["question"])], "text": "", "turns": 0}
            end = graph.compile().invoke(start, config={"callbacks": [self.tracer.get_langchain_handler()]})
            return sum(character in "aeiou" for character in end["text"]) / 24

    return Toy()


def fit(folder: Path, checkpoints: Path, tasks: list[dict[str, Any]], **options: Any) -> Watcher:
    import agentlightning as agl

    from lit_sql_trainer.local.algorithm import LocalGrpo

    watcher = Watcher()
    settings = options.pop("settings", SETTINGS)
    algorithm = LocalGrpo(model=folder, checkpoints=checkpoints, settings=settings, observer=watcher, **options)
    tracer = agl.AgentOpsTracer()
    trainer = agl.Trainer(
        n_runners=2,
        port=free_port(),
        algorithm=algorithm,
        tracer=tracer,
        runner=agl.LitAgentRunner(tracer, poll_interval=0.1, interval_jitter=0.05),
        store=agl.InMemoryLightningStore(thread_safe=True),
        adapter={"agent_match": "^write_query$", "_skip_empty_token_spans": True},
    )
    trainer.fit(toy_agent(), train_dataset=tasks, val_dataset=tasks[:2])
    return watcher


def test_fit_trains_on_the_tokens_of_the_matched_node(model_folder: Path, tmp_path: Path) -> None:
    """Two steps: every rollout's two writes become training data, the check does not, a failing task is dropped and
    counted without a reward, and the weights change.
    """
    from lit_sql_trainer.local.checkpoint import read_state
    from lit_sql_trainer.local.policy import load_policy

    tasks = [{"question": text} for text in ("count", "list", "broken")]
    watcher = fit(model_folder, tmp_path / "checkpoints", tasks)

    assert [step["step"] for step in watcher.steps] == [1, 2]
    for step in watcher.steps:
        assert step["rollouts"] == 8
        assert step["dropped"] == 4
        assert step["turns"] == 2.0
        assert step["groups"] == 2
        assert step["trained_tokens"] > 0
        assert step["grad_norm"] > 0
        assert step["logprob_gap"] < 1e-4
        assert step["clip_fraction"] == 0.0
    assert [validation["step"] for validation in watcher.validations] == [0, 2]
    assert read_state(tmp_path / "checkpoints" / "last").step == 2
    before, after = load_policy(model_folder).model, load_policy(tmp_path / "checkpoints" / "last").model
    assert any((a != b).any() for a, b in zip(before.parameters(), after.parameters(), strict=True))


@pytest.mark.timeout(900)
def test_a_resumed_fit_has_the_weights_of_an_unbroken_one(model_folder: Path, tmp_path: Path) -> None:
    """With two runner processes, whose requests arrive in any order: one step and a resumed one are two, bit by bit."""
    from dataclasses import replace

    from lit_sql_trainer.local.policy import load_policy

    tasks = [{"question": text} for text in ("count", "list", "name", "show")]
    fit(model_folder, tmp_path / "whole", tasks)
    fit(model_folder, tmp_path / "parts", tasks, settings=replace(SETTINGS, steps=1))
    fit(model_folder, tmp_path / "parts", tasks, resume_from=tmp_path / "parts" / "last")
    whole = load_policy(tmp_path / "whole" / "last").model
    parts = load_policy(tmp_path / "parts" / "last").model
    assert all((a == b).all() for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
