"""Trainer and daemon of the proof run: ours, with every model call and every trained row written down.

Runs inside Ray. The files lie in `proof/` of the run folder; `sql_train.proof.checks` reads them.
"""

# ray ships no types, and the environment in which types are checked has none of it:
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker
import ray

from lit_sql_trainer.rollouts.episodes import Collected
from lit_sql_trainer.rollouts.metrics import UpdateMetrics
from lit_sql_trainer.rollouts.plan import PlannedRollout
from lit_sql_trainer.rollouts.trainer import make_adapter
from lit_sql_trainer.runs.folder import append_line
from lit_sql_trainer.verl.daemon import SqlDaemon, TracedTokens
from lit_sql_trainer.verl.rows import Row, row_coefficients
from lit_sql_trainer.verl.trainer import SqlTrainer

PROOF_KEY = "lit_sql_proof"
"""Section of VERL's configuration with what `ProofTrainer` reads."""
NODES = ("write_query", "rewrite_query", "check_query")
CALL_SPAN = "openai.chat.completion"


class ProofDaemon(SqlDaemon):
    """A daemon that writes down each model call of each trace, trained or not."""

    def __init__(self, *, adapter: agl.TraceAdapter[Any], **parts: Any) -> None:
        super().__init__(adapter=adapter, **parts)
        self._tokens = RecordedTokens(adapter)
        self.while_collecting: Callable[[int, bool], None] = lambda step, train: None

    def record_into(self, folder: Path) -> None:
        """Where `calls.jsonl` is written."""
        self._tokens.file = folder / "calls.jsonl"

    def collect(self, plan: Sequence[PlannedRollout], *, train: bool, step: int) -> Collected:
        """As the daemon's own."""
        self._tokens.phase = {"mode": "train" if train else "val", "step": step}
        self.while_collecting(step, train)
        return super().collect(plan, train=train, step=step)


class RecordedTokens(TracedTokens):
    """An adapter that looks at every node, where the run's own looks at the trained ones."""

    def __init__(self, adapter: agl.TraceAdapter[Any]) -> None:
        super().__init__(adapter)
        self.file: Path | None = None
        self.phase: dict[str, Any] = {}
        self._nodes = {node: make_adapter(f"^{node}$") for node in NODES}

    def adapt(self, spans: Sequence[agl.Span]) -> list[agl.Triplet]:
        """As the adapter's own, after the calls were written down."""
        if self.file is not None and spans:
            calls = [
                {
                    "node": node,
                    "prompt_ids": list(triplet.prompt["token_ids"]),
                    "token_ids": list(triplet.response["token_ids"]),
                }
                for node, adapter in self._nodes.items()
                for triplet in adapter.adapt(spans)
            ]
            total = sum(span.name.startswith(CALL_SPAN) for span in spans)
            line = {**self.phase, "rollout_id": spans[0].rollout_id, "model_calls": total, "calls": calls}
            append_line(self.file, line)
        return super().adapt(spans)


class ProofTrainer(SqlTrainer):
    """A trainer that writes down times, memory and rows, and can have its server killed."""

    def __init__(self, *, config: Any, **parts: Any) -> None:
        self.folder = Path(config.lit_sql_run.folder) / "proof"
        facts = config.get(PROOF_KEY, {})
        self.kill_server_in_step = facts.get("kill_server_in_step")
        self.main_process = facts.get("main_process")
        with self._timed("trainer made"):
            super().__init__(config=config, **parts)
        threading.Thread(target=self._watch_memory, name="memory", daemon=True).start()

    def init_workers(self) -> None:
        """As VERL's own, timed."""
        with self._timed("workers and vLLM ready"):
            super().init_workers()

    def _open(self) -> None:
        super()._open()
        daemon = cast("ProofDaemon", self.daemon)
        daemon.record_into(self.folder)
        daemon.while_collecting = self._maybe_kill_server

    def step(self) -> None:
        """As the trainer's own, timed."""
        with self._timed(f"step {self.state.step + 1}"):
            super().step()

    def validate(self) -> bool:
        """As the trainer's own, timed."""
        with self._timed(f"validation after step {self.state.step}"):
            return super().validate()

    def update(self, parts: Sequence[Sequence[Row]], *, normaliser: float) -> UpdateMetrics:
        """As the trainer's own; each row is written down with what VERL is given for it."""
        for number, rows in enumerate(parts):
            coefficients = row_coefficients(rows, normaliser=normaliser, factor=self.plan.loss_factor)
            for row, coefficient in zip(rows, coefficients, strict=True):
                line = {
                    "step": self.state.step + 1, "part": number, "group": row.group, "sample": row.sample,
                    "turn": row.turn, "prompt_ids": row.prompt_ids, "token_ids": row.token_ids,
                    "advantage": row.advantage, "weight": row.weight, "coefficient": coefficient,
                    "normaliser": normaliser, "factor": self.plan.loss_factor,
                }  # fmt: skip
                append_line(self.folder / "rows.jsonl", line)
        with self._timed(f"update {self.state.step + 1}"):
            return super().update(parts, normaliser=normaliser)

    def optimiser_step(self, batch: Any) -> dict[str, Any]:
        """As the trainer's own; the gradient's norm is written down."""
        metrics = super().optimiser_step(batch)
        line = {"step": self.state.step + 1, "grad_norm": float(metrics["actor/grad_norm"])}
        append_line(self.folder / "gradients.jsonl", line)
        return metrics

    def _save_checkpoint(self) -> None:
        with self._timed(f"checkpoint {self.state.step}"):
            super()._save_checkpoint()

    def _maybe_kill_server(self, step: int, train: bool) -> None:
        if train and step == self.kill_server_in_step:
            threading.Timer(2.0, self._kill_server).start()  # rollouts take longer than that

    def _kill_server(self) -> None:
        for replica in self.async_rollout_manager.rollout_replicas:
            ray.kill(replica.server_handle)

    @contextmanager
    def _timed(self, phase: str) -> Generator[None]:
        started = time.monotonic()
        yield
        append_line(self.folder / "times.jsonl", {"phase": phase, "seconds": round(time.monotonic() - started, 2)})

    def _watch_memory(self) -> None:
        """Memory of the whole run: its processes and Ray's, each page once however many share it."""
        import psutil

        most, main = 0, psutil.Process(self.main_process)
        while True:
            used = 0
            for process in (main, *main.children(recursive=True)):
                with suppress(psutil.Error):  # it ended meanwhile
                    used += int(process.memory_full_info().pss)
            if used > most + 2**26:
                most = used
                append_line(self.folder / "memory.jsonl", {"used_gb": round(used / 2**30, 2)})
            time.sleep(2.0)
