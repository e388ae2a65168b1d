"""Go on with the runs that are named, to their end.

python resume_runs.py RUNS NAME…
"""

from __future__ import annotations

import sys
from pathlib import Path

from lit_sql_trainer import PROFILES, train

if __name__ == "__main__":
    for name in sys.argv[2:]:
        result = train(PROFILES["tiny"], runs=Path(sys.argv[1]), resume=name)
        assert result.steps == 4, result
        assert not result.interrupted, result
