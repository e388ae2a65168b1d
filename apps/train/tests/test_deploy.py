"""What is written to deploy with is whole: files parse, what is copied exists, what is called exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from lit_sql_trainer import PROFILES, Profile, verl_config
from lit_sql_trainer.machine.devices import Attention
from lit_sql_trainer.preflight.memory import Estimate, checkpoint_bytes, estimates, size
from lit_sql_trainer.preflight.shape import ModelShape, shape_of
from lit_sql_trainer.profile import Backend, apply_assignments

APP = Path(__file__).resolve().parents[1]
ROOT = APP.parents[1]
SCRIPTS = [APP / "ray" / "start_node.sh", APP / "ray" / "train.slurm"]
README = (APP / "README.md").read_text(encoding="utf-8")
WITH_VERL = [profile for profile in PROFILES.values() if profile.backend is Backend.VERL]
TYPICAL = 1024
"""Tokens of a prompt of the tutorial (about 850) with its reply."""

QWEN2 = {"model_type": "qwen2", "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True}
MODELS = {
    # From the models' own config.json; the parameters are those of their model cards.
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": (
        {**QWEN2, "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
        494_032_768,
    ),
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": (
        {**QWEN2, "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "intermediate_size": 8960},
        1_543_714_304,
    ),
    "meta-llama/Llama-3.2-1B-Instruct": (
        {
            "model_type": "llama",
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 8192,
            "vocab_size": 128256,
            "tie_word_embeddings": True,
        },
        1_235_814_400,
    ),
}


def shape(profile: Profile) -> ModelShape:
    assert profile.model is not None
    return shape_of(MODELS[profile.model][0])


def place(profile: Profile, name: str) -> Estimate:
    return next(estimate for estimate in estimates(profile, shape(profile)) if estimate.place == name)


def rows_of(tokens: int, profile: Profile) -> Profile:
    """The profile with rows of so many tokens, as they are when padding is removed."""
    halves = [f"verl.data.{name}={tokens // 2}" for name in ("max_prompt_length", "max_response_length")]
    own = [f"rollout.{name}={tokens // 2}" for name in ("prompt_budget_tokens", "max_tokens")]
    return apply_assignments(profile, [*halves, *own])


@pytest.mark.parametrize("model", MODELS)
def test_models_have_the_size_of_their_cards(model: str) -> None:
    """So the arithmetic below is of the right models."""
    config, parameters = MODELS[model]
    assert shape_of(config).parameters == parameters


def table() -> dict[str, list[str]]:
    """Profile → cells of the table of needs."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if "|" in line]
    return {row[0].strip("`"): row[1:] for row in cells if row[0].strip("`") in PROFILES and len(row) == 6}


def test_every_profile_says_what_it_needs() -> None:
    """GPU memory, host memory, disk and time; each cell says whether somebody measured it."""
    assert set(table()) == {profile.name for profile in WITH_VERL}
    for cells in table().values():
        assert all(re.search(r"estimate|measured", cell) for cell in cells), cells


@pytest.mark.parametrize("profile", WITH_VERL, ids=lambda profile: profile.name)
def test_estimates_are_the_arithmetic(profile: Profile) -> None:
    """The figures of the table are those that `lit-sql check` uses."""
    longest, typical, host, disk, _ = table()[profile.name]
    assert longest == f"estimate {size(place(profile, 'GPU while updating').total_bytes)}"
    short = place(rows_of(TYPICAL, profile), "GPU while updating")
    assert typical == f"estimate {size(short.total_bytes)}"
    assert host == f"estimate {size(place(profile, 'memory').total_bytes)}"
    weights = 2 * shape(profile).parameters
    assert disk == f"estimate {size(weights + checkpoint_bytes(profile, shape(profile)))}"


@pytest.mark.parametrize(("name", "gib"), [("qwen-24gb", 24), ("qwen-40gb", 40), ("qwen-80gb", 80)])
def test_a_profile_named_after_a_gpu_fits_it(name: str, gib: int) -> None:
    """Also when every row is as long as it may be, and while vLLM generates beside what stays."""
    profile = PROFILES[name]
    total = gib * 2**30
    assert place(profile, "GPU while updating").total_bytes < 0.95 * total
    generating = place(profile, "GPU while generating")
    assert generating.total_bytes + generating.gpu_share * total < 0.95 * total


def test_without_flash_attention_the_tutorial_still_fits_its_gpu() -> None:
    """Rows are then as wide as they may be: four of them do not fit 40 GB, the one that is computed at once does."""
    qwen = PROFILES["qwen"]
    padded = verl_config(qwen, attention=Attention.SDPA)["actor_rollout_ref"]["actor"]["ppo_micro_batch_size_per_gpu"]
    one = apply_assignments(qwen, [f"ppo_micro_batch_size_per_gpu={padded}"])
    assert place(qwen, "GPU while updating").total_bytes > 40 * 2**30
    assert place(one, "GPU while updating").total_bytes < 0.95 * 40 * 2**30


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shell_scripts_parse(script: Path) -> None:
    """`bash -n`."""
    subprocess.run(["bash", "-n", script], check=True)


def recorder(folder: Path, *commands: str) -> dict[str, str]:
    """An environment in which these commands write down how they were called."""
    for name in commands:
        file = folder / name
        answer = {"scontrol": "node1\\nnode2\\n", "srun": "10.0.0.1 fe80::1\\n"}.get(name, "2\\n")
        file.write_text(f"#!/bin/bash\necho \"{name} $*\" >> {folder}/calls\nprintf '{answer}'\n", encoding="utf-8")
        file.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (["head"], "start --head --port 6379"),
        (["worker", "10.0.0.1"], "start --address 10.0.0.1:6379"),
    ],
)
def test_a_node_joins_ray(arguments: list[str], called: str, tmp_path: Path) -> None:
    """The first machine makes the cluster, the others join it."""
    subprocess.run(["bash", SCRIPTS[0], *arguments], env=recorder(tmp_path, "uv"), check=True, capture_output=True)
    assert f"uv run --package lit-sql-trainer ray {called}" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize("arguments", [[], ["tail"], ["worker"]])
def test_a_node_without_a_role_is_told(arguments: list[str]) -> None:
    """Before anything is started."""
    done = subprocess.run(["bash", SCRIPTS[0], *arguments], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.search("role|address", done.stderr)


def test_a_job_starts_ray_on_each_node_and_trains_on_the_first(tmp_path: Path) -> None:
    """With the job's own number of nodes and GPUs; what follows the profile goes to `train`."""
    environment = recorder(tmp_path, "uv", "srun", "scontrol")
    job = {
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_ID": "7",
    }
    script = [str(SCRIPTS[1]), "qwen-40gb", "--set", "total_epochs=1"]
    subprocess.run(["bash", *script], env={**environment, **job}, check=True, timeout=60)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert any("--nodelist=node1" in call and "ray start --head" in call for call in calls)
    assert any("--nodelist=node2" in call and "ray start --address 10.0.0.1:20007" in call for call in calls)
    (training,) = [call for call in calls if " train " in call]
    assert training.endswith("train qwen-40gb --set nnodes=2 --set n_gpus_per_node=8 --set total_epochs=1")
    words = shlex.split(training)
    apply_assignments(PROFILES["qwen-40gb"], [words[at + 1] for at, word in enumerate(words) if word == "--set"])


def test_the_cluster_file_parses() -> None:
    """And names machines, an image, and how Ray is started on them."""
    cluster = yaml.safe_load((APP / "ray" / "cluster.yaml").read_text(encoding="utf-8"))
    assert cluster["provider"]["type"] == "local"
    assert cluster["docker"]["image"] == "sql-train"
    assert "ray start --head" in cluster["head_start_ray_commands"][-1]
    assert "$RAY_HEAD_IP" in cluster["worker_start_ray_commands"][-1]
    mounts = " ".join(cluster["docker"]["run_options"])
    for folder in re.findall(r'"(/[^"]+)"', dockerfile()["VOLUME"][0]):
        assert f":{folder}" in mounts


def dockerfile() -> dict[str, list[str]]:
    """Instruction → its arguments, one entry each time."""
    text = (APP / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name.isupper():
            found.setdefault(name, []).append(rest.strip())
    return found


def test_the_image_holds_what_exists() -> None:
    """Everything that is copied is there and not ignored; no weights, data or runs are."""
    ignored = (APP / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for copy in dockerfile()["COPY"]:
        *sources, _ = copy.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored
    assert {"!data", "!runs"}.isdisjoint(ignored)


def test_the_image_installs_and_runs_what_exists() -> None:
    """The package, its command and the versions of Python that it allows."""
    project = tomllib.loads((ROOT / "packages" / "lit-sql-trainer" / "pyproject.toml").read_text(encoding="utf-8"))
    runs = " ".join(dockerfile()["RUN"])
    assert "uv sync --package lit-sql-trainer" in runs
    assert project["project"]["name"] == "lit-sql-trainer"
    assert dockerfile()["ENTRYPOINT"] == ['["train"]']
    assert "train" in project["project"]["scripts"]
    assert "CUDA 12.8" in (APP / "Dockerfile").read_text(encoding="utf-8")  # what torch 2.8.0 was built for
    assert any(word.startswith("nvidia/cuda:12.8") for word in shlex.split(dockerfile()["ARG"][0].replace("=", " ")))


def test_documented_settings_exist() -> None:
    """Every `--set` in the README, the scripts and the cluster file is one that the profile beside it takes."""
    texts = [README, *(file.read_text(encoding="utf-8") for file in (APP / "ray").iterdir())]
    seen = 0
    for line in "\n".join(texts).replace("\\\n", " ").splitlines():
        if (found := re.search(r"train (qwen[\w-]*|fast|llama|npu) .*--set", line)) and "$" not in line:
            settings = re.findall(r"--set (\S+)", line)
            apply_assignments(PROFILES[found[1]], settings)
            seen += len(settings)
    assert seen >= 4


if __name__ == "__main__":
    for each in WITH_VERL:
        cells = (
            place(each, "GPU while updating").total_bytes,
            place(rows_of(TYPICAL, each), "GPU while updating").total_bytes,
            place(each, "memory").total_bytes,
            2 * shape(each).parameters + checkpoint_bytes(each, shape(each)),
        )
        sys.stdout.write(
            f"| `{each.name}` | {' | '.join(f'estimate {size(cell)}' for cell in cells)} | not measured |\n"
        )
