"""Do one proof run: `prove.py RUNS NAME FAULT [SETTING VALUE ...]`. The exit code is 1 where a check fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lit_sql_trainer.profile import Strategy
from sql_train.proof.report import prove
from sql_train.proof.run import Fault, ProofSettings

KINDS: dict[str, Callable[[str], Any]] = {"resume": Path, "validate_only": Path, "strategy": Strategy}


def main(runs: str, name: str, fault: str, settings: Sequence[str]) -> int:
    given = {name: KINDS.get(name, int)(value) for name, value in zip(settings[::2], settings[1::2], strict=True)}
    return 0 if prove(ProofSettings(runs=Path(runs), name=name, fault=Fault(fault), **given)) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4], sys.argv[4:]))
