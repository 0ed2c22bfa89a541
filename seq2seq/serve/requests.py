"""The bodies of requests, as JSON or as forms, and their errors."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictBool, ValidationError, model_validator
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

Body = TypeVar("Body", bound=BaseModel)

Names = Mapping[str, list[str]]
"""Field -> the names that it may have"""

MOST_ALTERNATIVES = 10


def _readable(text: str) -> str:
    """Refuse what is no text: halves of surrogate pairs, and NUL."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("expected text without NUL and without halves of surrogate pairs")
    return text


def _no_truth(value: Any) -> Any:
    """Refuse true and false, which JSON does not count among the numbers."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


Text = Annotated[str, AfterValidator(_readable), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
Weight = Annotated[float, Field(ge=0, le=1), BeforeValidator(_no_truth)]
Count = Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES), BeforeValidator(_no_truth)]
Layer = Annotated[int, Field(ge=1, le=64), BeforeValidator(_no_truth)]


class Asking(BaseModel):
    """What every request has."""

    api_key: Text = Field("", description="API key, where the server needs one")

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, values: Any) -> Any:
        """Take null for a field that is left out, as LibreTranslate's clients send it."""
        return {key: x for key, x in values.items() if x is not None} if isinstance(values, dict) else values


class Languages(Asking):
    """A request that a model answers."""

    source: Text = Field("auto", description="Language of the text, or auto")
    target: Text = Field(description="Language to translate into")
    model: Text = Field("", description="Name of the model; empty: the first that translates these languages")


class Translate(Languages):
    """A request for translations."""

    q: Text | list[Text] = Field(description="Text, or a list of texts")
    format: Literal["text", "html"] = Field("text", description="Form of the text")
    alternatives: Count = Field(0, description="Number of other translations")


class Detect(Asking):
    """A request for the language of a text."""

    q: Text = Field(description="Text")


class Pairs(Languages):
    """A request about given translations."""

    pairs: list[tuple[Text, Text]] = Field(description="Sentences, each with its translation")


class Aligned(Pairs):
    """A request for word alignments."""

    attention: Literal["prior", "posterior"] = Field(
        "prior", description="Attention before the token is known, or given the token"
    )


class Look(Languages):
    """A request to look at the translation of a sentence."""

    q: Text = Field(description="Sentence")
    prefix: list[Text] = Field([], max_length=1000, description="Target pieces to begin with")


class Watch(Look):
    """A request to watch a translation token by token."""

    layer: Layer | None = Field(None, description="Decoder layer whose attention is shown; null: the usual one")
    edits: dict[Annotated[int, Field(ge=0)], list[Weight]] = Field(
        {},
        description="Number of a step -> weights over the source pieces in place of its own",
        json_schema_extra={"propertyNames": {"pattern": "^[0-9]{1,9}$"}},
    )
    posterior: StrictBool = Field(False, description="Whether to compute the attention given the target as well")


class Tree(Look):
    """A request for the n best translations in pieces."""

    n_best: Annotated[int, Field(ge=1, le=MOST_ALTERNATIVES), BeforeValidator(_no_truth)] = Field(
        5, description="Number of translations, and size of the beam"
    )


async def read(request: Request, kind: type[Body]) -> Body:
    """Read a request's JSON or form. Raises HTTPException 422 with what is wrong."""
    form = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if form in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return _checked(kind.model_validate, await _read_form(request))
    return _checked(kind.model_validate_json, await request.body())


def _checked(validate: Callable[[Any], Body], values: Any) -> Body:
    try:
        return validate(values)
    except ValidationError as error:
        raise HTTPException(422, _explained(error)) from error


async def _read_form(request: Request) -> dict[str, Any]:
    form = await request.form(max_files=0)
    values: dict[str, Any] = {}
    for key in form:
        several = form.getlist(key)
        values[key] = several[0] if len(several) == 1 else several
    return values


def _explained(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(
            str(part) for part in problem["loc"] if not str(part).startswith(("function-", "list[", "str"))
        )
        problems.append(f"{place}{': ' if place else ''}{problem['msg']}"[:300])
    return "; ".join(dict.fromkeys(problems))[:1000]


async def read_upload(request: Request) -> tuple[Languages, UploadFile]:
    """Read a form with a file. Raises HTTPException 400 or 422, with what is wrong."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(400, "expected a form (multipart/form-data) with a file")
    form = await request.form(max_files=1, max_fields=20)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise HTTPException(422, "file: expected a file")
    values = {key: value for key, value in form.items() if key != "file"}
    return _checked(Languages.model_validate, values), file


def described(kind: type[Body], names: Names) -> dict[str, Any]:
    """Return the description of a request body, JSON or a form of plain fields, for the specification."""
    content = {"application/json": {"schema": _with_null(_schema(kind, names))}}
    if kind in (Translate, Detect):
        plain = _schema(kind, names)
        plain["properties"]["q"] = Detect.model_json_schema()["properties"]["q"]
        content["application/x-www-form-urlencoded"] = {"schema": plain}
    return {"requestBody": {"required": True, "content": content}}


def described_upload(names: Names) -> dict[str, Any]:
    """Return the description of a form with a file."""
    schema = _schema(Languages, names)
    schema["properties"]["file"] = {"type": "string", "format": "binary", "description": "File (.txt, .srt, .html)"}
    schema["required"] = ["target", "file"]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _schema(kind: type[BaseModel], names: Names) -> dict[str, Any]:
    """Return the JSON schema of a request, with the names of this server."""
    schema = kind.model_json_schema()
    for key, choices in names.items():
        if key in schema["properties"]:
            schema["properties"][key]["enum"] = list(choices)
    return schema


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Let each field that may be left out be null."""
    required = schema.get("required", ())
    fields = {
        key: field if key in required else {"anyOf": [field, {"type": "null"}]}
        for key, field in schema["properties"].items()
    }
    return {**schema, "properties": fields}
