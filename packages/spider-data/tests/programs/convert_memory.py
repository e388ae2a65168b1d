"""Convert the folder of the first argument into the second; print the most memory that this process held, in bytes."""

import resource
import sys
from pathlib import Path

from spider_data import convert_spider

convert_spider(sys.argv[1], sys.argv[2])
status = Path("/proc/self/status")
if status.exists():  # Linux hands a parent's ru_maxrss on to its child, but not this
    print(next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
