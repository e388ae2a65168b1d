"""Judge the pairs that arrive as JSON on standard input, and print their outcomes as one JSON list."""

import json
import sys
from pathlib import Path

from sql_reward import Limits, judge

request = json.load(sys.stdin)
limits = Limits(deadline_s=request["deadline_s"])
database = Path(request["database"])
print(json.dumps([judge(predicted, gold, database, limits=limits).outcome for predicted, gold in request["pairs"]]))
