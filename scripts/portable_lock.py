"""Keep `uv.lock` portable: every version and marker, no download address.

    python scripts/portable_lock.py           rewrite uv.lock in its portable form
    python scripts/portable_lock.py --check   exit 1 unless git's copy is the portable form of the uv.lock at hand
    python scripts/portable_lock.py --stdin   the same rewriting as a filter (see CONTRIBUTING.md, "The lock file")

uv takes the versions of a portable file as its preferences and completes it at its first run, from whatever index or
mirror it is set up for. Nothing may run `uv --locked` or `--frozen` before that.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "uv.lock"
REGISTRY = re.compile(r'registry = "[^"]*"')


def portable(text: str) -> str:
    """The lock file without registry addresses, files, hashes and upload dates; a fixed point of itself."""
    kept: list[str] = []
    lines = iter(text.splitlines())
    in_metadata = False
    for line in lines:
        if line.startswith("["):
            in_metadata = line.startswith("[package.metadata")
        if in_metadata or line.startswith("sdist = "):
            continue
        if line == "wheels = [":
            rest_of_array(lines)
        elif line == "resolution-markers = [":
            # uv writes them in an order that depends on the order in which it met the packages
            kept += [line, *sorted(rest_of_array(lines)), "]"]
        else:
            kept.append(REGISTRY.sub('registry = "index"', line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def rest_of_array(lines: Iterator[str]) -> list[str]:
    taken: list[str] = []
    for line in lines:
        if line == "]":
            break
        taken.append(line)
    return taken


def committed() -> str:
    """The uv.lock that git would commit: the index's copy."""
    shown = subprocess.run(["git", "show", f":{LOCK.name}"], cwd=LOCK.parent, capture_output=True, text=True)
    if shown.returncode:
        sys.exit(f"git has no {LOCK.name} yet: `git add {LOCK.name}` first ({shown.stderr.strip()})")
    return shown.stdout


def main(arguments: list[str]) -> None:
    if arguments == ["--stdin"]:
        sys.stdout.write(portable(sys.stdin.read()))
    elif arguments == ["--check"]:
        want, have = portable(LOCK.read_text()), committed()
        if have != want:
            differing = sorted(set(want.splitlines()) ^ set(have.splitlines()))
            sys.exit(
                "git's uv.lock is not the portable form of the one at hand; run `python scripts/portable_lock.py` and "
                "commit the result. First lines that differ:\n  " + "\n  ".join(differing[:10])
            )
        print(f"uv.lock: portable, {want.count('[[package]]')} packages")
    elif not arguments:
        LOCK.write_text(portable(LOCK.read_text()))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
