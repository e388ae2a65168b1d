"""The `lit-sql` group: every command by name, line and module. A command is imported when it is called."""

from __future__ import annotations

from lit_sql_trainer.commands.lazy import LazyCommand, LazyGroup


def _command(module: str, attribute: str, line: str) -> LazyCommand:
    return LazyCommand(target=f"lit_sql_trainer.commands.{module}:{attribute}", help=line)


COMMANDS = {
    "train": _command("train", "train_main", "Train a model to write SQL as an agent."),
    "profiles": _command("profiles", "profiles_command", "List the profiles that `train` accepts."),
    "settings": _command("profiles", "settings_command", "Print every setting of a profile."),
    "check": _command("check", "check_command", "Look over everything that training needs, before it begins."),
    "debug": _command("debug", "debug_command", "Show prompts, SQL, results and rewards of ten questions."),
    "eval": _command("eval", "eval_command", "Evaluate a run, a model or an endpoint on a split."),
    "compare": _command("compare", "compare_command", "Compare two evaluations of the same questions."),
    "curate": _command("curate", "curate_command", "Drop the tasks that teach nothing, into a new data folder."),
    "export": _command("export", "export_command", "Export a checkpoint as a Hugging Face folder, with proof."),
    "serve": _command("serve", "serve_command", "Serve a trained model and print the line that asks it."),
    "curves": _command("curves", "curves_command", "Write the curves of a run's report as one SVG file."),
    "report": _command("report", "report_command", "Write one HTML file about a run, or several."),
    "tiny-model": _command("tiny_model", "tiny_model_command", "Build the tiny model again."),
}

main = LazyGroup(
    lazy=COMMANDS,
    name="lit-sql",
    help="Train, look at and use models that write SQL as an agent.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
