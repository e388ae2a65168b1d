"""Import what sets up and judges a proof; print, as JSON, which parts of the GPU stack that brought."""

import json
import sys

from sql_train.proof import checks, cpu, report, run

STACK = ("torch", "verl", "vllm", "ray", "agentlightning")

if __name__ == "__main__":
    assert all((checks, cpu, report, run))
    print(json.dumps([name for name in STACK if name in sys.modules]))
