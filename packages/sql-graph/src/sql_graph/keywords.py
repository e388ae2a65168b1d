"""The words that SQL reserves or uses, in lower case.

`SQLITE` is the list that SQLite documents (https://www.sqlite.org/lang_keywords.html), all 147. SQLite accepts some
of them as names in some places only, so a name among them is always quoted.
"""

# ruff: noqa: SIM905  a text of words is easier to read than a list of strings

from __future__ import annotations

SQLITE = frozenset(
    """
    abort action add after all alter always analyze and as asc attach autoincrement before begin between by
    cascade case cast check collate column commit conflict constraint create cross current current_date
    current_time current_timestamp database default deferrable deferred delete desc detach distinct do drop each
    else end escape except exclude exclusive exists explain fail filter first following for foreign from full
    generated glob group groups having if ignore immediate in index indexed initially inner insert instead
    intersect into is isnull join key last left like limit match materialized natural no not nothing notnull
    null nulls of offset on or order others outer over partition plan pragma preceding primary query raise range
    recursive references regexp reindex release rename replace restrict returning right rollback row rows
    savepoint select set table temp temporary then ties to transaction trigger unbounded union unique update
    using vacuum values view virtual when where window with without
    """.split()
)

OTHER = frozenset(
    """
    analyse any array at both character date datetime day days div double extract fetch float grouping hour
    ilike int integer interval lateral leading minute mod month next numeric only overlay percent pivot placing
    position precision qualify real rlike second sets signed similar some substring sysdate tablesample text
    time timestamp trailing trim true false unknown unpivot unsigned varchar varying year zone
    """.split()
)
"""Words that other dialects use between names. Used only to tell a query from a sentence."""

CLAUSES = frozenset(
    """
    and as asc between case collate cross desc distinct div else end escape except exists fetch filter for from
    full glob group having ilike in indexed inner intersect into is isnull join lateral left like limit match
    minus mod natural not notnull nulls offset on or order outer over partition pivot qualify range regexp
    returning right rlike rows select similar tablesample then union using values when where window with within
    """.split()
)
"""Words that can continue a query at the start of a line."""

DANGLING = frozenset(
    """
    all and any as between by case collate cross distinct div else escape except exists explain from full glob
    having ilike in inner intersect into is join lateral left like limit natural not offset on or order group
    outer over partition recursive regexp right rlike select similar some then union using values when where
    with
    """.split()
)
"""Words after which a query cannot end."""
