"""Print the version of a package of this workspace, and check that its changelog has a section of that version.

python scripts/release_version.py spider-data
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version_of(name: str) -> str:
    """The version that the package's pyproject.toml says.

    Raises:
        SystemExit: there is no such package, or its changelog does not know the version.
    """
    for file in sorted(ROOT.glob("*/*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        if project["name"] == name:
            version = str(project["version"])
            changes = (file.parent / "CHANGELOG.md").read_text(encoding="utf-8")
            if not re.search(rf"^## \[{re.escape(version)}\]", changes, re.MULTILINE):
                sys.exit(f"{file.parent.name}/CHANGELOG.md has no section [{version}]: move what is unreleased into it")
            return version
    sys.exit(f"no package {name!r} in this workspace")


if __name__ == "__main__":
    print(version_of(sys.argv[1]))
