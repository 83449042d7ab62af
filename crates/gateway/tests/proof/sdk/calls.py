"""Makes the shared calls with OpenAI's SDK for Python, and prints what it got, one line of JSON for each.

Usage: calls.py calls.json '{"plain": "http://127.0.0.1:PORT/v1", ...}'
"""

import hashlib
import io
import json
import sys
import warnings
from typing import Literal

import openai
from pydantic import BaseModel


# The SDK's own types are narrower than what it puts into them.
warnings.filterwarnings("ignore", module="pydantic")


class Verdict(BaseModel):
    label: Literal["good", "bad"]
    score: float
    tags: list[str]


WORDS = {
    "$hello": [{"role": "user", "content": "hello"}],
    "$tools": [
        {
            "type": "function",
            "function": {
                "name": "turn",
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"degrees": {"type": "integer"}},
                    "required": ["degrees"],
                    "additionalProperties": False,
                },
            },
        }
    ],
    "$verdict": Verdict,
}


def plain(value):
    if isinstance(value, BaseModel):
        return value.to_dict(mode="json") if hasattr(value, "to_dict") else value.model_dump(mode="json")
    return value


def got(call, value):
    if hasattr(value, "read") and hasattr(value, "response"):
        content = value.read()
        return {"bytes": len(content), "hash": hashlib.sha256(content).hexdigest()}
    if call.get("options", {}).get("stream"):
        return [plain(chunk) for chunk in value]
    if call["act"] == "models.list":
        return [plain(model) for model in value]
    return plain(value)


# All calls share its connections: making another one takes longer than all calls.
CLIENT = openai.OpenAI(base_url="http://127.0.0.1:1", api_key="right", max_retries=0)


def act(call, url):
    client = CLIENT.with_options(base_url=url, api_key=call.get("key", "right"), timeout=call.get("timeout", 20))
    *path, last = call["act"].split(".")
    place = client
    for part in path:
        place = getattr(place, part)
    if call.get("is_raw"):
        place = place.with_raw_response
    arguments = [call["argument"]] if "argument" in call else []
    options = {}
    for name, value in call.get("options", {}).items():
        is_word = isinstance(value, str) and value in WORDS
        options[name] = WORDS[value] if is_word else value
    if options.get("file"):
        options["file"] = ("a.wav", io.BytesIO(b"RIFF" + bytes(range(256))), "audio/wav")
    if options:
        options["model"] = call["vendor"]
    if last == "stream":
        with place.stream(**options) as stream:
            for _ in stream:
                pass
            return plain(stream.get_final_completion())
    if call.get("is_raw"):
        raw = place.create(**options, extra_headers={"x-request-id": "mine-7"})
        return {"status": raw.status_code, "headers": dict(raw.headers)}
    return got(call, getattr(place, last)(*arguments, **options))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        calls = json.load(file)
    urls = json.loads(sys.argv[2])
    for call in calls:
        try:
            result = {"got": act(call, urls[call["vendor"]])}
        except openai.APIError as error:
            response = getattr(error, "response", None)
            result = {
                "error": type(error).__name__,
                "status": getattr(error, "status_code", None),
                "code": error.code,
                "param": error.param,
                "type": error.type,
                "retry_after": response.headers.get("retry-after") if response is not None else None,
                "has_request_id": response is not None and "x-request-id" in response.headers,
                "message": error.message,
            }
        print(json.dumps({"name": call["name"], **result}))


main()
