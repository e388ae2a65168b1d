"""The `lit-sql` group: every command by name, line and module. A command is imported when it is called."""

from __future__ import annotations

from lit_sql_trainer.commands.lazy import LazyGroup

_ROOM = "lit_sql_trainer.commands"

COMMANDS = {
    "train": (f"{_ROOM}.train", "train_main", "Train a model to write SQL as an agent."),
    "profiles": (f"{_ROOM}.profiles", "profiles_command", "List the profiles that `train` accepts."),
    "settings": (f"{_ROOM}.profiles", "settings_command", "Print every setting of a profile."),
    "check": (f"{_ROOM}.check", "check_command", "Look over everything that training needs, before it begins."),
    "debug": (f"{_ROOM}.debug", "debug_command", "Show prompts, SQL, results and rewards of ten questions."),
    "eval": (f"{_ROOM}.eval", "eval_command", "Evaluate a run, a model or an endpoint on a split."),
    "compare": (f"{_ROOM}.compare", "compare_command", "Compare two evaluations of the same questions."),
    "curate": (f"{_ROOM}.curate", "curate_command", "Drop the tasks that teach nothing, into a new data folder."),
    "export": (f"{_ROOM}.export", "export_command", "Export a checkpoint as a Hugging Face folder, with proof."),
    "serve": (f"{_ROOM}.serve", "serve_command", "Serve a trained model and print the line that asks it."),
    "curves": (f"{_ROOM}.curves", "curves_command", "Write the curves of a run's report as one SVG file."),
    "report": (f"{_ROOM}.report", "report_command", "Write one HTML file about a run, or several."),
    "tiny-model": (f"{_ROOM}.tiny_model", "tiny_model_command", "Build the tiny model again."),
}

main = LazyGroup(
    lazy=COMMANDS,
    name="lit-sql",
    help="Train, look at and use models that write SQL as an agent.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
