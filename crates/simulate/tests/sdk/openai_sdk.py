"""Puts the official OpenAI SDK to the scripted vendor, and checks that it sees what the script says.

Usage: openai_sdk.py '{"plain": "http://127.0.0.1:PORT/v1", ...}'
"""

import asyncio
import json
import sys
from typing import Literal, Optional

import openai
from pydantic import BaseModel, Field

VENDORS = json.loads(sys.argv[1])
HELLO = [{"role": "user", "content": "hello"}]


def client(vendor, **options):
    return openai.OpenAI(**{"base_url": VENDORS[vendor], "api_key": "any", "max_retries": 0, "timeout": 20, **options})


def complete(vendor, **options):
    return client(vendor).chat.completions.create(model="mill-1", messages=HELLO, **options)


def raised(kind, act):
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def a_chat_completion_is_complete():
    answer = complete("plain", n=2)
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion" and answer.model == "mill-1"
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")
    # The SDK is lenient; strict validation says whether each field has its documented type.
    type(answer).model_validate(answer.model_dump(), strict=True)


def a_stream_says_what_the_answer_says():
    whole = complete("plain").choices[0].message.content
    chunks = list(complete("plain", stream=True, stream_options={"include_usage": True}))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert len(said) > 10 and len(whole) > 10
    assert chunks[-1].usage.total_tokens > 0 and chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "stop"
    for chunk in chunks:
        type(chunk).model_validate(chunk.model_dump(), strict=True)


def the_stream_helper_gathers_the_answer():
    with client("plain").chat.completions.stream(model="mill-1", messages=HELLO) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content


class Address(BaseModel):
    street: str
    number: int = Field(ge=1, le=99)


class Verdict(BaseModel):
    label: Literal["good", "bad"]
    score: float = Field(ge=0, le=1)
    note: Optional[str]
    tags: list[str] = Field(min_length=2, max_length=3)
    address: Address


class Tree(BaseModel):
    name: str
    children: list["Tree"]


def a_stream_gathered_by_the_sdk_is_the_answer_that_comes_whole():
    with client("plain").chat.completions.stream(
        model="mill-1", messages=HELLO, response_format=Verdict, stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        gathered = stream.get_final_completion()
    assert isinstance(gathered.choices[0].message.parsed, Verdict) and gathered.choices[0].finish_reason == "stop"
    assert gathered.usage.total_tokens == gathered.usage.prompt_tokens + gathered.usage.completion_tokens
    assert gathered.model == "mill-1" and gathered.id.startswith("chatcmpl-")


def a_thought_comes_beside_the_answer_and_is_billed():
    answer = complete("thinking")
    message, usage = answer.choices[0].message, answer.usage
    assert message.reasoning_content.endswith(".") and message.content
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens // 2
    type(answer).model_validate(answer.model_dump(), strict=True)
    deltas = [choice.delta for chunk in complete("thinking", stream=True) for choice in chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas).endswith(".")


def what_is_lacking_is_refused():
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    error = raised(openai.BadRequestError, lambda: complete("lacking", response_format=schema))
    assert error.param == "response_format" and "not supported with this model" in error.message
    options = {"stream": True, "stream_options": {"include_usage": True}}
    assert raised(openai.BadRequestError, lambda: complete("lacking", **options)).param == "stream_options"
    assert complete("lacking", response_format={"type": "json_object"}).choices[0].message.content


def structured_output_is_parsed():
    for model in (Verdict, Tree):
        parsed = client("plain").chat.completions.parse(model="mill-1", messages=HELLO, response_format=model)
        assert isinstance(parsed.choices[0].message.parsed, model)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    answer = complete("plain", response_format=form)
    assert isinstance(json.loads(answer.choices[0].message.content)["n"], int)
    answer = complete("plain", response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)["answer"]


def errors_are_of_their_kind():
    error = raised(openai.RateLimitError, lambda: complete("throttled"))
    assert error.response.headers["retry-after"] == "2" and error.response.headers["retry-after-ms"] == "1500"
    assert error.code == "rate_limit_exceeded" and error.request_id.startswith("req_")
    error = raised(openai.RateLimitError, lambda: complete("exhausted_credit"))
    assert error.code == "insufficient_quota" and error.type == "insufficient_quota"
    error = raised(openai.AuthenticationError, lambda: complete("locked"))
    assert error.code == "invalid_api_key"
    raised(openai.AuthenticationError, lambda: client("locked").models.list())
    error = raised(openai.InternalServerError, lambda: complete("unavailable"))
    assert error.status_code == 503
    error = raised(openai.BadRequestError, lambda: complete("rejected"))
    assert error.type == "invalid_request_error"
    error = raised(openai.BadRequestError, lambda: client("plain").chat.completions.create(model="m", messages=[]))
    assert error.param == "messages"
    raised(openai.NotFoundError, lambda: client("plain").models.retrieve("other"))
    raised(openai.APIConnectionError, lambda: complete("cut"))
    raised(openai.APIConnectionError, lambda: complete("half"))
    hanging = client("hang", timeout=0.3)
    raised(openai.APITimeoutError, lambda: hanging.chat.completions.create(model="m", messages=HELLO))


def the_right_key_opens():
    opened = client("locked", api_key="right")
    assert opened.chat.completions.create(model="m", messages=HELLO).choices


def retry_after_is_obeyed_by_the_sdk():
    # Another request than the one that was throttled before: its first ask is throttled, its second answered.
    messages = [{"role": "user", "content": "again"}]
    answer = client("throttled", max_retries=1).chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content


def spoiled_messages_are_seen():
    message = complete("refused").choices[0].message
    assert message.content is None and message.refusal
    assert complete("length").choices[0].finish_reason == "length"
    verdict = {"model": "m", "messages": HELLO, "response_format": Verdict}
    raised(openai.ContentFilterFinishReasonError, lambda: client("filtered").chat.completions.parse(**verdict))
    raised(openai.LengthFinishReasonError, lambda: client("length").chat.completions.parse(**verdict))
    assert client("refused").chat.completions.parse(**verdict).choices[0].message.parsed is None
    seen = complete("garbage_body")
    assert not hasattr(seen, "choices"), "no completion can be read from it"


def embeddings_have_their_length():
    # The SDK asks for base64 unless told otherwise, and decodes it.
    answer = client("plain").embeddings.create(model="mill-1", input=["a", "b"])
    plain = client("plain").embeddings.create(model="mill-1", input=["a", "b"], encoding_format="float")
    for encoded, floats in zip(answer.data, plain.data, strict=True):
        assert len(encoded.embedding) == len(floats.embedding) == 8
        assert all(abs(x - y) < 1e-6 for x, y in zip(encoded.embedding, floats.embedding))
    assert answer.data[0].embedding != answer.data[1].embedding
    assert len(client("plain").embeddings.create(model="m", input="a", dimensions=3).data[0].embedding) == 3


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "turn",
            "parameters": {
                "type": "object",
                "properties": {"degrees": {"type": "integer"}},
                "required": ["degrees"],
                "additionalProperties": False,
            },
        },
    }
]


def tools_are_called_whole_and_in_pieces():
    answer = complete("plain", tools=TOOLS, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "turn" and isinstance(json.loads(call.function.arguments)["degrees"], int)
    type(answer).model_validate(answer.model_dump(), strict=True)
    with client("plain").chat.completions.stream(
        model="mill-1", messages=HELLO, tools=TOOLS, tool_choice="required"
    ) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert isinstance(json.loads(choice.message.tool_calls[0].function.arguments)["degrees"], int)


def responses_come_whole_and_in_events():
    ask = client("plain").responses
    answer = ask.create(model="mill-1", input="hello", instructions="be brief")
    assert answer.output_text and answer.status == "completed" and answer.usage.total_tokens > 0
    type(answer).model_validate(answer.model_dump(), strict=True)
    with ask.stream(model="mill-1", input=[{"role": "user", "content": "hello"}]) as stream:
        kinds = []
        for event in stream:
            type(event).model_validate(event.model_dump(), strict=True)
            kinds.append(event.type)
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.output_text and "response.output_text.delta" in kinds
    parsed = ask.parse(model="mill-1", input="hello", text_format=Verdict).output_parsed
    assert isinstance(parsed, Verdict)
    tool = {"type": "function", "strict": True, **TOOLS[0]["function"]}
    called = ask.create(model="mill-1", input="hello", tools=[tool], tool_choice="required")
    assert called.output[0].type == "function_call" and json.loads(called.output[0].arguments)["degrees"] is not None
    type(called).model_validate(called.model_dump(), strict=True)
    with ask.stream(model="mill-1", input="hello", tools=[tool], tool_choice="required") as stream:
        for event in stream:
            pass
        assert stream.get_final_response().output[0].name == "turn"


def completions_of_prompts_are_complete():
    answer = client("plain").completions.create(model="mill-1", prompt=["a", "b"])
    assert len(answer.choices) == 2 and answer.choices[1].text and answer.usage.total_tokens > 0
    type(answer).model_validate(answer.model_dump(), strict=True)
    chunks = list(
        client("plain").completions.create(
            model="mill-1", prompt="a", stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage.total_tokens > 0 and "".join(c.text for chunk in chunks for c in chunk.choices)


def other_endpoints_answer_in_their_shapes():
    judged = client("plain").moderations.create(model="omni-moderation-latest", input="flag me")
    assert judged.results[0].flagged and judged.results[0].categories.violence
    type(judged).model_validate(judged.model_dump(by_alias=True), strict=True)
    drawn = client("plain").images.generate(model="mill-1", prompt="a mill")
    assert drawn.data[0].b64_json and drawn.usage.total_tokens == 24
    spoken = client("plain").audio.speech.create(model="mill-1", voice="alloy", input="hello")
    assert spoken.content.startswith(b"RIFF")
    heard = client("plain").audio.transcriptions.create(model="mill-1", file=("a.wav", spoken.content))
    assert heard.text == f"{len(spoken.content)} bytes of sound"


def odd_ways_of_delivery_change_nothing():
    for vendor in ("gzip", "informational", "split_bytes", "ready"):
        assert complete(vendor).choices[0].message.content, vendor
        said = [choice.delta.content or "" for chunk in complete(vendor, stream=True) for choice in chunk.choices]
        assert "".join(said), vendor
    seen = []
    error = raised(openai.APIError, lambda: seen.extend(complete("error_event", stream=True)))
    assert len(seen) == 2 and "broke down" in error.message


def the_models_are_listed():
    assert [model.id for model in client("plain").models.list()] == ["mill-1"]
    assert client("plain").models.retrieve("mill-1").object == "model"


def the_asynchronous_client_is_satisfied_too():
    async def ask():
        async with openai.AsyncOpenAI(base_url=VENDORS["plain"], api_key="any", max_retries=0) as asynchronous:
            asks = (asynchronous.chat.completions.create(model="m", messages=HELLO) for _ in range(20))
            answers = await asyncio.gather(*asks)
            assert len({answer.choices[0].message.content for answer in answers}) == 1, "alike, each time"
            assert len({answer.id for answer in answers}) == 20
            said = []
            async for chunk in await asynchronous.chat.completions.create(model="m", messages=HELLO, stream=True):
                said.extend(choice.delta.content or "" for choice in chunk.choices)
            assert "".join(said)

    asyncio.run(ask())


STORIES = [
    a_chat_completion_is_complete,
    a_stream_says_what_the_answer_says,
    the_stream_helper_gathers_the_answer,
    a_stream_gathered_by_the_sdk_is_the_answer_that_comes_whole,
    a_thought_comes_beside_the_answer_and_is_billed,
    what_is_lacking_is_refused,
    structured_output_is_parsed,
    errors_are_of_their_kind,
    the_right_key_opens,
    retry_after_is_obeyed_by_the_sdk,
    spoiled_messages_are_seen,
    embeddings_have_their_length,
    tools_are_called_whole_and_in_pieces,
    responses_come_whole_and_in_events,
    completions_of_prompts_are_complete,
    other_endpoints_answer_in_their_shapes,
    odd_ways_of_delivery_change_nothing,
    the_models_are_listed,
    the_asynchronous_client_is_satisfied_too,
]

for story in STORIES:
    story()
    print(story.__name__)
print(f"openai {openai.__version__} is satisfied")
