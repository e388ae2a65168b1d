"""Look a data folder over before anything is trained on it. Reads, never writes.

For the official benchmark every database file is held against the shipped checksums; for any other folder
each file is searched for damage instead. A matching checksum is proof enough, so those are not searched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from spider_data.catalog import DatabaseCatalog
from spider_data.check.files import check_official, check_readable, looks_official
from spider_data.check.findings import CheckReport, Finding, Kind, Severity
from spider_data.check.tasks import check_databases, check_tasks, read_folder
from spider_data.manifest import Origin, read_manifest
from spider_data.storage import StrPath


def check_data(
    root: StrPath | None = None,
    *,
    official: bool | None = None,
    deep: bool = False,
    on_file: Callable[[str], None] = lambda name: None,
) -> CheckReport:
    """Check a data folder, or a database folder alone, and report all that was found.

    `official` says whether the official checksums apply; None decides by the manifest, else by the databases'
    names. `deep` searches official files for damage too. `on_file` receives each file's name before the file is read.

    Raises:
        SourceNotFoundError: there is no such folder.
        ManifestInvalidError: its manifest is unreadable.
    """
    catalog = DatabaseCatalog(root)
    manifest = read_manifest(catalog.root)
    if official is None:
        official = manifest.origin is Origin.SPIDER if manifest else looks_official(catalog)
    tasks, findings = read_folder(catalog.root)
    findings += check_tasks(tasks, manifest, official=official) if tasks or catalog.folders != (catalog.root,) else []
    genuine: set[Path] = set()
    if official:
        # train.parquet repeats tasks of train_spider.parquet under the same ids.
        unique = {(task.db_id, task.task_id) for rows in tasks.values() for task in rows}
        needed = Counter(db_id for db_id, _ in unique)
        genuine, differences = check_official(catalog, needed, on_file)
        findings += differences
    findings += check_readable(catalog, genuine, deep=deep, on_file=on_file)
    missing = {finding.subject for finding in findings if finding.kind is Kind.MISSING}
    findings += check_databases(tasks, catalog, missing)
    return CheckReport(
        root=str(catalog.root),
        official=official,
        databases=len(catalog.ids),
        variants=sum(len(catalog.suite(db_id)) - 1 for db_id in catalog.ids),
        verified=len(genuine),
        tasks={stem: len(rows) for stem, rows in tasks.items()},
        findings=tuple(sorted(findings, key=_order)),
    )


def _order(finding: Finding) -> tuple[bool, int, str]:
    return finding.severity is not Severity.FAULT, list(Kind).index(finding.kind), finding.subject
