"""What `train tiny` gains: runs of several seeds, and of variants, measured before and after by `lit-sql eval`.

Each arm is a list of `--set` assignments given to `train tiny`; it is run once per seed. The best checkpoint on
validation is then measured on questions that training never saw: validation and test, greedy, and validation sampled
at temperature 1. Nothing is repeated that a folder already holds, so a stopped experiment goes on. The last line is
JSON.

    python experiments/learning.py --out FOLDER [--seeds 0,1,2] [--arm NAME=SETTING,SETTING …] [--no-sampled]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MEASURES = {
    "validation": ["--split", "validation"],
    "sampled": ["--split", "validation", "-k", "2"],
    "test": ["--split", "test"],
}


def command(name: str, *arguments: str) -> None:
    """Run one of the package's commands from this environment; its output stays visible."""
    subprocess.run([str(Path(sys.executable).with_name(name)), *arguments], check=True)


def measure(target: list[str], folder: Path, *, sampled: bool) -> dict[str, Any]:
    """Summaries of one model by measure."""
    found: dict[str, Any] = {}
    for name, options in MEASURES.items():
        if name == "sampled" and not sampled:
            continue
        if not (folder / name / "summary.json").exists():
            command("lit-sql", "eval", *target, *options, "--out", str(folder / name))
        found[name] = json.loads((folder / name / "summary.json").read_text())
    return found


def figures(summaries: dict[str, Any]) -> dict[str, Any]:
    """The headline shares of one model, each [rate, low, high] in percent."""
    shown: dict[str, Any] = {}
    for name in ("validation", "sampled"):
        if name in summaries:
            lines = {line["name"]: line["suite"] for line in summaries[name]["lines"]}
            shown[name] = _share(lines["agent"])
            shown[f"{name}_single_turn"] = _share(lines["single_turn"])
    shown.update({f"test_{part['name']}": _share(part["suite"]) for part in summaries["test"]["seen"]})
    shown["outcomes"] = summaries["validation"]["outcomes"]
    shown["rewrites"] = summaries["validation"]["rewrites"]
    return shown


def _share(score: dict[str, Any]) -> list[float]:
    return [round(100 * score[key], 1) for key in ("rate", "low", "high")]


def trained(arm: str, settings: list[str], seed: int, out: Path) -> dict[str, Any]:
    """One run of an arm with how long it took; a finished one is only read."""
    name = f"{arm}-{seed}"
    took = out / f"{name}.seconds"
    if not took.exists():
        started = time.monotonic()
        changes = [part for setting in [f"seed={seed}", *settings] for part in ("--set", setting)]
        command("train", "tiny", *changes, "--runs", str(out), "--name", name)
        took.write_text(f"{time.monotonic() - started:.0f}")
    return {"run": str(out / name), "minutes": round(float(took.read_text()) / 60, 1)}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--arm", action="append", default=[], metavar="NAME=KEY=VALUE,KEY=VALUE")
    parser.add_argument("--no-sampled", action="store_true")
    options = parser.parse_args()
    sampled = not options.no_sampled
    rows: dict[str, Any] = {"start": figures(measure([], options.out / "eval-start", sampled=sampled))}
    for arm in options.arm or ["default="]:
        name, _, settings = arm.partition("=")
        for seed in map(int, options.seeds.split(",")):
            run = trained(name, [each for each in settings.split(",") if each], seed, options.out)
            summaries = measure(["--run", run["run"]], options.out / f"eval-{name}-{seed}", sampled=sampled)
            rows[f"{name} {seed}"] = {**figures(summaries), "minutes": run["minutes"]}
    columns = [key for key in rows["start"] if key not in ("outcomes", "rewrites")]
    print("| | " + " | ".join(columns) + " | minutes |")
    print("|---|" + "---|" * (len(columns) + 1))
    for name, row in rows.items():
        cells = [f"{row[column][0]} ({row[column][1]} to {row[column][2]})" for column in columns]
        print(f"| {name} | " + " | ".join(cells) + f" | {row.get('minutes', '')} |")
    print(json.dumps({"experiment": "learning", "rows": rows}))


if __name__ == "__main__":
    main()
