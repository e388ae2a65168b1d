"""Stands in for DuckDB's process: it is ready, and answers its request with the line that the environment holds."""

import os
import sys

if __name__ == "__main__":
    print('{"ready": true}', flush=True)
    sys.stdin.readline()
    print(os.environ["RUBBISH"], flush=True)
    sys.stdin.readline()
