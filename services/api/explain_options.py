"""What a request to explain asks for beside its image. Pure."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.types import Scope

from services.api.predict import PredictOptions, whole_number
from services.shared.asgi import text_header
from services.shared.errors import InvalidInput
from services.shared.explanation.base import Method
from services.shared.explanation.explainer import Question, Terms
from services.shared.explanation.pace import MAX_EVALUATIONS, MIN_EVALUATIONS

DEFAULT_METHOD = Method.RISE
MAX_INDEX = 2**31 - 1
JSON, PNG = b"application/json", b"image/png"


def question_of(scope: Scope) -> Question:
    """`method`, `label`, `index` and `evaluations` of the query. Raises InvalidInput naming the one at fault."""
    values = _query(scope)
    word = values.get("method", DEFAULT_METHOD.value)
    if word not in tuple(Method):
        raise InvalidInput(f"method is {word[:32]!r}: use one of {', '.join(Method)}", field="method")
    return Question(
        method=Method(word),
        label=values.get("label"),
        index=whole_number(values["index"], "index", 0, MAX_INDEX) if "index" in values else None,
        evaluations=whole_number(values["evaluations"], "evaluations", MIN_EVALUATIONS, MAX_EVALUATIONS)
        if "evaluations" in values
        else None,
    )


def terms_of(options: PredictOptions, key: bytes, api_key: bytes | None, *, left_s: float) -> Terms:
    """Who is to answer, as for a prediction with these options, and how much time there is."""
    return Terms(max(left_s, 0.001), options.version, key, api_key, options.forced)


def wants_picture(scope: Scope) -> bool:
    """Whether `Accept` names image/png before JSON; weights are not looked at."""
    for each in text_header(scope, "accept").lower().split(","):
        name = each.partition(";")[0].strip().encode()
        if name in (JSON, PNG):
            return name == PNG
    return False


def _query(scope: Scope) -> dict[str, str]:
    query: bytes = scope["query_string"]
    return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
