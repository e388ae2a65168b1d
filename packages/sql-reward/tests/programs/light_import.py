"""Print which of the heavy modules the import of the package loads, with every name of its face."""

import sys

import sql_reward

for name in sql_reward.__all__:
    getattr(sql_reward, name)
print(sorted({"click", "rich", "sqlglot", "multiprocessing"} & set(sys.modules)))
