"""The SQL functions a prediction may call: SQLite's own, minus those that load code, touch files or print.

An allow-list, so a function that the user's SQLite build adds is refused until it has been looked at.
"""

from typing import Final

_SCALAR = """
    abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like
    likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign
    soundex sqlite_compileoption_get sqlite_compileoption_used sqlite_offset sqlite_source_id sqlite_version substr
    substring subtype total_changes trim typeof unhex unicode unistr unistr_quote unlikely upper zeroblob -> ->> match
    regexp
"""
_AGGREGATE_AND_WINDOW = """
    avg count group_concat max min string_agg sum total median percentile percentile_cont percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
"""
_DATE = "date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp"
_MATH = """
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
    radians sin sinh sqrt tan tanh trunc
"""
_JSON = """
    json json_array json_array_length json_each json_error_position json_extract json_group_array json_group_object
    json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set json_tree json_type
    json_valid jsonb jsonb_array jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object
    jsonb_patch jsonb_remove jsonb_replace jsonb_set
"""
_TEXT_SEARCH = "bm25 highlight matchinfo offsets snippet"

ALLOWED_FUNCTIONS: Final = frozenset(
    " ".join((_SCALAR, _AGGREGATE_AND_WINDOW, _DATE, _MATH, _JSON, _TEXT_SEARCH)).split()
)
"""Lower-case names. Absent on purpose: load_extension, readfile, writefile, edit, fts3_tokenizer, sqlite_log, eval."""

SCANNING_FUNCTIONS: Final = frozenset({"like", "glob", "instr", "replace", "json_patch", "jsonb_patch"})
"""Their time can grow with the product of the lengths of two arguments."""
