"""Tools that ask the client for something, each written once for both eras.

Where there are no sessions they end with `input_required` and are called again with the answers.
In a session the client is asked in the middle of the call, and the tool goes on by itself.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from mcp.server.context import ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequest,
    InputRequiredResult,
    InputResponse,
    InputResponseRequestParams,
    InputResponses,
    ListRootsRequest,
    ListRootsResult,
    PromptMessage,
    SamplingMessage,
    TextContent,
)
from tests.conformance.everything.contents import (
    DEFAULTS_SCHEMA,
    ENUMS_SCHEMA,
    NAME_SCHEMA,
    USER_SCHEMA,
    schema,
    text,
)

Answer = CallToolResult | InputRequiredResult
Ctx = ServerRequestContext[Any, Any]
Question = Callable[[Ctx, CallToolRequestParams], Answer]
AnswerT = TypeVar("AnswerT")


def _elicit(message: str, form: dict[str, Any]) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))


def _sample(words: str, tokens_max: int) -> CreateMessageRequest:
    said = SamplingMessage(role="user", content=text(words))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[said], max_tokens=tokens_max)
    )


def _done(words: str) -> CallToolResult:
    return CallToolResult(content=[text(words)])


def _filled(responses: InputResponses | None, key: str, field: str) -> Any:
    """One field of a form that the client has filled in; None where it has not."""
    said = (responses or {}).get(key)
    if isinstance(said, ElicitResult) and said.action == "accept" and said.content:
        return said.content.get(field)
    return None


def _sampled(responses: InputResponses | None, key: str) -> str | None:
    said = (responses or {}).get(key)
    if isinstance(said, CreateMessageResult) and isinstance(said.content, TextContent):
        return said.content.text
    return None


def _name(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    name = _filled(params.input_responses, "user_name", "name")
    if isinstance(name, str):
        return _done(f"Hello, {name}!")
    return InputRequiredResult(
        input_requests={"user_name": _elicit("What is your name?", NAME_SCHEMA)}
    )


def _capital(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    said = _sampled(params.input_responses, "capital_question")
    if said is not None:
        return _done(f"The model says: {said}")
    question = _sample("What is the capital of France?", 100)
    return InputRequiredResult(input_requests={"capital_question": question})


def _roots(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    said = (params.input_responses or {}).get("client_roots")
    if isinstance(said, ListRootsResult):
        return _done("Roots: " + ", ".join(str(root.uri) for root in said.roots))
    return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})


def _state(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    if params.request_state == "confirming" and params.input_responses:
        return _done("state-ok")
    confirm = _elicit("Please confirm", schema(ok={"type": "boolean"}))
    return InputRequiredResult(input_requests={"confirm": confirm}, request_state="confirming")


def _several(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    responses = params.input_responses or {}
    asked: dict[str, InputRequest] = {
        "user_name": _elicit("What is your name?", NAME_SCHEMA),
        "greeting": _sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if params.request_state == "several" and asked.keys() <= responses.keys():
        return _done(f"All answered: {', '.join(sorted(asked))}")
    return InputRequiredResult(input_requests=asked, request_state="several")


def _rounds(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    responses, state = params.input_responses, params.request_state or ""
    color = _filled(responses, "step2", "color")
    if state.startswith("named:") and color is not None:
        return _done(f"{state.removeprefix('named:')} likes {color}.")
    name = _filled(responses, "step1", "name")
    if state == "asked" and name is not None:
        step = _elicit("Step 2: What is your favorite color?", schema(color={"type": "string"}))
        return InputRequiredResult(input_requests={"step2": step}, request_state=f"named:{name}")
    step = _elicit("Step 1: What is your name?", NAME_SCHEMA)
    return InputRequiredResult(input_requests={"step1": step}, request_state="asked")


def _capable(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Ask only for what the client has said it can do."""
    if params.input_responses:
        return _done("Thank you.")
    declared = ctx.session.client_capabilities
    asked: dict[str, InputRequest] = {}
    if declared is not None and declared.sampling is not None:
        asked["greeting"] = _sample("Generate a greeting", 50)
    if declared is not None and declared.elicitation is not None:
        asked["user_name"] = _elicit("What is your name?", NAME_SCHEMA)
    return InputRequiredResult(input_requests=asked) if asked else _done("Nothing to ask.")


def _sampling(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    said = _sampled(params.input_responses, "sampled")
    if said is not None:
        return _done(f"LLM response: {said}")
    prompt = str((params.arguments or {})["prompt"])
    return InputRequiredResult(input_requests={"sampled": _sample(prompt, 100)})


def _form(form: dict[str, Any], words: str) -> Question:
    def question(ctx: Ctx, params: CallToolRequestParams) -> Answer:
        said = (params.input_responses or {}).get("form")
        if isinstance(said, ElicitResult):
            return _done(f"{words}: action={said.action}, content={said.content}")
        message = str((params.arguments or {}).get("message", "Fill it in."))
        return InputRequiredResult(input_requests={"form": _elicit(message, form)})

    return question


# The names that the suite calls them by. What keeps a changed state out stands before them all.
QUESTIONS: Final[dict[str, Question]] = {
    "test_sampling": _sampling,
    "test_elicitation": _form(USER_SCHEMA, "User response"),
    "test_elicitation_sep1034_defaults": _form(DEFAULTS_SCHEMA, "Elicitation completed"),
    "test_elicitation_sep1330_enums": _form(ENUMS_SCHEMA, "Elicitation completed"),
    "test_list_roots": _roots,
    "test_input_required_result_elicitation": _name,
    "test_input_required_result_sampling": _capital,
    "test_input_required_result_list_roots": _roots,
    "test_input_required_result_request_state": _state,
    "test_input_required_result_multiple_inputs": _several,
    "test_input_required_result_multi_round": _rounds,
    "test_input_required_result_tampered_state": _state,
    "test_input_required_result_capabilities": _capable,
    "test_streaming_elicitation": _name,
}


def context_prompt(
    ctx: Ctx, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    """A prompt that asks the client before it can be had."""
    context = _filled(params.input_responses, "user_context", "context")
    if context is None:
        asked = _elicit("What context should the prompt use?", schema(context={"type": "string"}))
        return InputRequiredResult(input_requests={"user_context": asked})
    return GetPromptResult(
        messages=[PromptMessage(role="user", content=text(f"Use this context: {context}"))]
    )


ParamsT = TypeVar("ParamsT", bound=InputResponseRequestParams)


async def ask(
    ctx: Ctx,
    params: ParamsT,
    question: Callable[[Ctx, ParamsT], AnswerT | InputRequiredResult],
) -> AnswerT | InputRequiredResult:
    """The answer, after as many rounds as it takes; without a session, after one."""
    answer = question(ctx, params)
    while isinstance(answer, InputRequiredResult) and ctx.protocol_version < "2026":
        responses = {
            key: await _asked(ctx, request)
            for key, request in (answer.input_requests or {}).items()
        }
        told = {"input_responses": responses, "request_state": answer.request_state}
        answer = question(ctx, params.model_copy(update=told))
    return answer


async def _asked(ctx: Ctx, request: InputRequest) -> InputResponse:
    session = ctx.session
    if isinstance(request, ListRootsRequest):
        return await session.list_roots()  # pyright: ignore[reportDeprecated]
    if isinstance(request, CreateMessageRequest):
        return await session.create_message(  # pyright: ignore[reportDeprecated]
            request.params.messages,
            max_tokens=request.params.max_tokens,
            related_request_id=ctx.request_id,
        )
    assert isinstance(request.params, ElicitRequestFormParams)
    return await session.elicit_form(
        request.params.message, request.params.requested_schema, ctx.request_id
    )
