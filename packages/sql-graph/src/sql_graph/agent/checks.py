"""Rules that reject a query by its result alone, without a model call.

A rule rejects only when it is sure, because wrong feedback makes the model replace a right query. The rules check three
things: the query did not run, it found nothing, it returned several columns where the question asks for one number.
"""

from __future__ import annotations

import re

from sql_graph.ports import Observation, ObservationStatus

_FAILED = {
    ObservationStatus.ERROR: "The query does not run.",
    ObservationStatus.REFUSED: "The query was not run: only a single statement that reads is allowed.",
    ObservationStatus.TIMEOUT: "The query takes too long. Join along keys and filter early.",
    ObservationStatus.TOO_LARGE: "The result is too large. Select less.",
}
_ONE_NUMBER = re.compile(r"^\s*(?:how many|what is the (?:total )?number of|count the(?: number of)?)\b", re.IGNORECASE)
_MORE_ASKED = re.compile(
    r"\b(?:each|every|per|by|different|respective|respectively|and|or|also|which|what|who|along|together|with)\b|[,;]",
    re.IGNORECASE,
)


def rule_feedback(question: str, observation: Observation) -> str:
    """What is wrong with a query that gave `observation`, in a sentence for the model; empty when nothing is.

    The last rule reads `How many …`, `What is the number of …` and `Count the …` as asking for one number, unless
    the rest holds a word that may ask for more (`each`, `and`, `what`, …) or a comma.
    """
    if said := _FAILED.get(observation.status):
        return said
    if observation.status is ObservationStatus.EMPTY:
        return "The query finds no rows. Check the joins, and that text values are spelled as in the schema."
    asked = _ONE_NUMBER.match(question)
    columns = len(observation.columns)
    if asked and columns > 1 and not _MORE_ASKED.search(question, asked.end()):
        return f"The question asks for one number, and the result has {columns} columns. Select only the number."
    return ""
