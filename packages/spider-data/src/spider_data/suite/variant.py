"""Make one variant of a database in memory: the same schema, other content."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable

from spider_data.suite.errors import SchemaFailsError
from spider_data.suite.filler import Filler
from spider_data.suite.recipe import Recipe, profile
from spider_data.suite.schema import SourceSchema

VARIANT_MARK = 0x53504456
"""Written as application_id into every variant, so that a file made by others is never taken for ours."""


def make_variant(recipe: Recipe, *, seed: str, number: int) -> sqlite3.Connection:
    """A variant in memory, marked as ours; equal arguments give equal content.

    Raises:
        SchemaFailsError: a CREATE statement of the source does not run here.
    """
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA application_id = {VARIANT_MARK}")
    _create(connection, recipe.schema, recipe.schema.statements)
    rng = random.Random(f"{seed}|{number}")  # noqa: S311  seeded content, no secret
    filler = Filler(recipe=recipe, connection=connection, rng=rng, temper=profile(rng, number))
    filler.fill()
    _create(connection, recipe.schema, recipe.schema.triggers)
    connection.commit()
    return connection


def _create(connection: sqlite3.Connection, schema: SourceSchema, statements: Iterable[str]) -> None:
    for statement in statements:
        try:
            connection.execute(statement)
        except sqlite3.Error as error:
            raise SchemaFailsError(
                f"{str(schema.path)!r}: its own statement {statement!r} fails in an empty database ({error}); "
                f"mend the schema, or leave this database out with --only",
                path=schema.path,
                statement=statement,
            ) from error
