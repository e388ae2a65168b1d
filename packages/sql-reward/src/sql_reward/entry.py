"""Where the command `sql-reward` begins: Ctrl-C ends it with 130 and without a traceback from its first moment.

Imports next to nothing, so that an interrupt while the libraries load is met too.
"""

from sql_reward.interrupts import interrupts_leave


def main() -> None:
    """Load the commands and run the one that was asked for."""
    interrupts_leave()
    from sql_reward.cli import main as command  # takes a quarter of a second, in which Ctrl-C may come

    command(prog_name="sql-reward")
