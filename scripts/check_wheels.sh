#!/usr/bin/env bash
# Build every member's wheel, then install and import each outside the workspace, where only what it declares is there.
#
# The leaves resolve freely, as they would for a user. lit-sql-trainer takes the versions of uv.lock as constraints.
# sql-train is installed without its dependencies: the GPU stack is 10 GB, and the package itself needs none of it to be imported.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
say() { printf '\n== %s\n' "$*"; }

"$uv" build --quiet --all-packages --wheel --out-dir "$place/wheels"
ls "$place/wheels"/*.whl | xargs -n1 basename
"$uv" export --quiet --package lit-sql-trainer --no-group app --no-emit-workspace --no-hashes \
    --output-file "$place/constraints.txt"

imported() {   # NAME MODULE COMMAND [uv pip arguments ...]
    local name=$1 module=$2 command=$3
    shift 3
    say "$name"
    "$uv" venv --quiet --python 3.11 "$place/$name"
    "$uv" pip install --quiet --python "$place/$name/bin/python" --find-links "$place/wheels" "$@" "$name"
    (cd "$place" && "$place/$name/bin/python" -I -c "import $module; print($module.__file__)")
    if [ -n "$command" ]; then
        (cd "$place" && "$place/$name/bin/$command" --help | head -n 3)
    fi
}
imported spider-data spider_data spider-data
imported sql-graph sql_graph sql-graph
imported sql-reward sql_reward sql-reward
imported lit-sql-trainer lit_sql_trainer train --constraint "$place/constraints.txt"
imported sql-train sql_train.proof "" --no-deps
say "all wheels import outside the workspace"
