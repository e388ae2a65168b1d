"""`python -m sql_reward` is the command `sql-reward`."""

from sql_reward.entry import main

if __name__ == "__main__":
    main()
