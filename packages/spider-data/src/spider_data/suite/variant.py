"""Make one variant of a database in memory: the same schema, other content."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable

from spider_data.errors import SchemaFailsError
from spider_data.readonly import decode
from spider_data.suite.filler import Filler
from spider_data.suite.recipe import Recipe, profile
from spider_data.suite.schema import SourceSchema

VARIANT_MARK = 0x53504456
"""The application_id of every variant, which tells our files from files made by others."""


def make_variant(recipe: Recipe, *, seed: str, number: int) -> sqlite3.Connection:
    """Make a variant in memory, with our mark; equal arguments give equal content.

    Raises:
        SchemaFailsError: a CREATE statement of the source does not run here.
    """
    connection = sqlite3.connect(":memory:")
    connection.text_factory = decode
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA application_id = {VARIANT_MARK}")
    _create(connection, recipe.schema, recipe.schema.statements)
    _create(connection, recipe.schema, (table.statement for table in recipe.schema.virtual))
    rng = random.Random(f"{seed}|{number}")  # noqa: S311  seeded content, no secret
    filler = Filler(recipe=recipe, connection=connection, rng=rng, profile=profile(rng, number))
    filler.fill()
    _create(connection, recipe.schema, recipe.schema.triggers)
    connection.commit()
    return connection


def _create(connection: sqlite3.Connection, schema: SourceSchema, statements: Iterable[str]) -> None:
    for statement in statements:
        try:
            connection.execute(statement)
        except sqlite3.Error as error:
            raise SchemaFailsError(path=schema.path, statement=statement, reason=str(error)) from error
