#!/usr/bin/env bash
# Join this machine to the Ray cluster of a training run; the first machine makes it. Run from the workspace's root.
#
#   first machine:   apps/train/ray/start_node.sh head
#   every other:     apps/train/ray/start_node.sh worker <address of the first>
#
# Then, on the first machine:
#
#   RAY_ADDRESS=auto uv run --package lit-sql-trainer train qwen-80gb --set nnodes=2 --set n_gpus_per_node=8
#
# Ray passes on the environment that it was started with: set HF_TOKEN, HF_HOME and the like before. `ray stop` ends it.
set -euo pipefail

role=${1:?"role missing: head or worker"}
port=${RAY_PORT:-6379}
ray=(uv run --package lit-sql-trainer ray)

case "$role" in
  head)
    "${ray[@]}" start --head --port "$port" --include-dashboard=false --disable-usage-stats
    ;;
  worker)
    address=${2:?"address of the first machine missing"}
    "${ray[@]}" start --address "$address:$port" --disable-usage-stats
    ;;
  *)
    echo "role $role is neither head nor worker" >&2
    exit 2
    ;;
esac
