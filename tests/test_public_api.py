"""The names that users and other packages rely on are there, with the parameters they rely on."""

import importlib
import inspect

import pytest

PUBLIC = {
    "sql_reward": {
        "judge": ["predicted", "gold", "databases", "rules", "keep_distinct", "limits", "cache"],
        "evaluate_query": ["query", "ground_truth", "database", "raise_on_error"],
        "run_sql": ["database", "sql", "limits"],
        "reward_of": ["verdict", "scale"],
        "hardness": ["sql", "schema"],
        "GoldCache": None,
        "Limits": None,
        "Outcome": None,
        "RewardScale": None,
        "Rows": None,
        "Rules": None,
        "SqlFailure": None,
        "Verdict": None,
    },
    "sql_graph": {
        "build_langgraph_sql_agent": [
            "database_path",
            "openai_base_url",
            "model",
            "sampling_parameters",
            "max_turns",
            "truncate_length",
        ],
        "build_graph": None,
        "answer": ["question", "database", "chat", "max_turns", "callbacks"],
        "extract_sql": ["reply"],
        "SqlAnswer": None,
        "SqlDatabase": None,
        "ScriptedChat": None,
        "TRAINED_NODES": None,
    },
    "spider_data": {
        "read_tasks": ["path", "limit"],
        "write_tasks": None,
        "convert_spider": ["source", "target"],
        "DatabaseCatalog": ["root"],
        "mini_benchmark": ["folder"],
        "SpiderTask": None,
    },
}
NAMES = [(package, name) for package, names in PUBLIC.items() for name in names]


@pytest.mark.parametrize(("package", "name"), NAMES, ids=[".".join(pair) for pair in NAMES])
def test_public_name(package: str, name: str) -> None:
    """Each promised name is in its package's __all__ and takes the promised parameters."""
    module = importlib.import_module(package)
    assert name in module.__all__
    promised = PUBLIC[package][name]
    if promised is not None:
        parameters = inspect.signature(getattr(module, name)).parameters
        assert set(promised) <= set(parameters), f"{package}.{name} takes {list(parameters)}"


FACE = {
    "spider_data": """
        SpiderTask Split Hardness read_tasks write_tasks tasks_frame
        data_dir Manifest Origin read_manifest DatabaseCatalog
        download_bundle convert_spider ConvertOptions import_data ImportOptions SplitBy mini_benchmark
        check_data CheckReport data_stats DataStats
        SpiderDataError DatabaseNotFoundError
    """,
    "sql_graph": """
        TRAINED_NODES answer build_graph build_langgraph_sql_agent
        Attempt SqlAnswer StopReason CheckMode PromptStyle
        open_chat SqlDatabase DatabaseLimits ChatModel Database Observation extract_sql estimate_tokens
        ScriptedChat TableDatabase
        DatabaseError ModelCallError ModelFault SqlGraphError UsageError
    """,
    "sql_reward": """
        judge Verdict Outcome SchemaOverlap Rules Limits GoldCache
        evaluate_query reward_of RewardScale PLAIN SHAPED
        run_sql Rows SqlFailure hardness Hardness
        SqlRewardError GoldSqlError DatabaseNotFoundError DatabaseUnreadableError MachineError StalledError LimitsError
    """,
    "sql_reward.exact": """
        exact_match ExactMatch Component hardness Hardness Schema read_schema read_schemas
        UnparsableSqlError SchemaError
    """,
    "sql_reward.scoring": """
        Pair BadRow read_pairs read_official_pairs score_pairs ScoreOptions PairResult ScoreReport
        InputError OutputError WorkersFailedError
    """,
    "sql_reward.stats": """
        Interval wilson_interval PairedComparison compare_paired newcombe_interval mcnemar_p
        pass_at_k majority_vote result_digest
    """,
}
"""Every name of a package's face, grouped as in its `__all__`."""


@pytest.mark.parametrize("package", FACE)
def test_face(package: str) -> None:
    """A face shows these names in this order and no others; that of a leaf is small."""
    module = importlib.import_module(package)
    assert module.__all__ == FACE[package].split()
    assert len(module.__all__) <= 24
    assert all(getattr(module, name).__class__.__name__ != "module" for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))


def test_trained_nodes() -> None:
    """The nodes whose calls are trained are the two that write SQL."""
    import sql_graph

    assert sql_graph.TRAINED_NODES == ("write_query", "rewrite_query")


def test_outcomes() -> None:
    """The outcomes of a verdict are a closed set."""
    import sql_reward

    names = {outcome.name for outcome in sql_reward.Outcome}
    assert names == {"MATCH", "MISMATCH", "NO_SQL", "SQL_ERROR", "FORBIDDEN", "TIMEOUT", "TOO_LARGE"}


EXACTLY_LIT_SQL_TRAINER = """
PROFILES profile_named Profile RolloutSettings configure
LitSQLAgent train TrainResult dry_run
RL_TRAINING_CONFIG verl_config
evaluate Evaluation Sampling Target find_target compare Comparison
TrainerError
"""


def test_lit_sql_trainer_exports_exactly_this() -> None:
    """A name that comes or goes is a decision; every one can be loaded."""
    pytest.importorskip("lit_sql_trainer", reason="an environment of a leaf alone")
    import lit_sql_trainer

    assert lit_sql_trainer.__all__ == EXACTLY_LIT_SQL_TRAINER.split()
    assert dir(lit_sql_trainer) == sorted(lit_sql_trainer.__all__)
    assert all(getattr(lit_sql_trainer, name) is not None for name in lit_sql_trainer.__all__)
