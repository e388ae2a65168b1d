"""Which tables of a SQLite file belong to an extension and are left out of the schema.

A virtual table keeps its data in shadow tables. SQLite names them where the virtual table's module is compiled in;
elsewhere, the module's way of naming shows them. A table that a full-text index declares as its content is a user's
own, whatever its name. SpatiaLite keeps its own tables in every file that it makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SUFFIXES = {
    "fts3": ("content", "segments", "segdir", "docsize", "stat"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "rtree": ("node", "parent", "rowid"),
    "rtree_i32": ("node", "parent", "rowid"),
    "geopoly": ("node", "parent", "rowid"),
    "spellfix1": ("vocab",),
}
"""What each module appends to a virtual table's name to name its shadow tables."""
_DECLARED = re.compile(r"""CREATE\s+VIRTUAL\s+TABLE\s+.*?\bUSING\s+["`\[]?(?P<module>\w+)""", re.IGNORECASE | re.DOTALL)
_CONTENT = re.compile(r"""\bcontent\s*=\s*(?:"([^"]*)"|'([^']*)'|`([^`]*)`|\[([^\]]*)\]|(\w+))""", re.IGNORECASE)
_SPATIALITE = re.compile(
    r"data_licenses|elementarygeometries|geom_cols_ref_sys|knn2?|spatialindex|spatialite_history|sql_statements_log"
    r"|(?:(?:views_|virts_)?geometry_columns|iso_metadata|raster_coverages|spatial_ref_sys|vector_coverages|vector_layers)"
    r"(?:_\w+)?|rl2map_configurations(?:_view)?|se_(?:external|fonts|group|raster|styled|vector)\w*"
    r"|stored_(?:procedures|variables)|wms_(?:getcapabilities|getmap|ref_sys|settings)"
)
_SPATIALITE_MARKS = frozenset({"spatial_ref_sys", "geometry_columns", "spatialite_history"})
"""Only a file that has all of these was made by SpatiaLite."""
_SPATIAL_INDEX = "idx_"


def internal_tables(schema: Iterable[tuple[str, str | None]], shadows: Iterable[str]) -> frozenset[str]:
    """Lower-case names of tables and views to leave out.

    `schema` holds name and text of each of them, and `shadows` the names that SQLite itself calls shadow tables.
    """
    texts = {name.lower(): text or "" for name, text in schema}
    found = {name.lower() for name in shadows}
    own: set[str] = set()
    for name, text in texts.items():
        declared = _DECLARED.match(text)
        if declared is None:
            continue
        found |= {f"{name}_{suffix}" for suffix in _SUFFIXES.get(declared["module"].lower(), ())}
        own |= {str(named[named.lastindex or 0]).lower() for named in _CONTENT.finditer(text)}
    found -= own
    if texts.keys() >= _SPATIALITE_MARKS:
        found |= {name for name in texts if _SPATIALITE.fullmatch(name)}
        indices = {name for name in texts if name.startswith(_SPATIAL_INDEX) and _is_rtree(texts[name])}
        found |= indices | {f"{name}_{suffix}" for name in indices for suffix in _SUFFIXES["rtree"]}
    return frozenset(found & texts.keys())


def _is_rtree(text: str) -> bool:
    declared = _DECLARED.match(text)
    return declared is not None and declared["module"].lower() == "rtree"
