"""The functions, pragmas read as tables, and virtual tables of SQLite that a model's query may use.

These are allow-lists: what another build of SQLite adds is refused until somebody has reviewed it. A judge of the same
query may have lists of its own; a test over both keeps them equal.
"""

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

ALLOWED_FUNCTIONS = frozenset(" ".join((_SCALAR, _AGGREGATE_AND_WINDOW, _DATE, _MATH, _JSON, _TEXT_SEARCH)).split())
"""Lower-case names. Absent on purpose: load_extension, readfile, writefile, edit, fts3_tokenizer, sqlite_log, eval."""
READING_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "foreign_key_list", "index_list", "index_info", "index_xinfo"}
)
"""Pragmas that a query may read as a table, as in `pragma_table_info('singer')`."""
OWN_PRAGMAS = frozenset({"data_version"})
"""Pragmas that SQLite's own full-text search runs while it reads."""
TABLE_FUNCTIONS = (
    "json_each('[]')", "json_tree('[]')", "jsonb_each('[]')", "jsonb_tree('[]')", "generate_series(1, 1)",
    *(f"pragma_{name}" for name in sorted(READING_PRAGMAS)),
)  # fmt: skip
"""Tables that SQLite computes, with arguments that they take."""
VIRTUAL_MODULES = frozenset({"fts3", "fts4", "fts4aux", "fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly"})
"""Modules whose tables in a file can be read: they read this file and no other."""
MAX_PATTERN_BYTES = 250
"""Length of a LIKE or GLOB pattern: matching takes up to this many steps a byte of text."""
