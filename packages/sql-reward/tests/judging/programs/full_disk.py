"""Sort more than the temporary folder holds, and print what that is called.

Called with a database. Files may grow to 64 KB here, which to SQLite is a full disk or a failing one.
"""

import resource
import signal
import sys

from sql_reward import SqlRewardError, judge

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
SORTED, PLAIN = "SELECT s, i FROM t ORDER BY s, i", "SELECT s, i FROM t LIMIT 1"
for predicted, gold in ((SORTED, PLAIN), (PLAIN, SORTED)):
    try:
        print(judge(predicted, gold, sys.argv[1]).outcome.value)
    except SqlRewardError as error:
        print(type(error).__name__)
