"""The official OpenAI SDK in a pool of worker tasks: what most Python programs do that put a file of prompts to a model.

Usage: openai_sdk_loop.py BASE_URL INPUT OUTPUT IN_FLIGHT

Each line of INPUT is a JSON object with a `prompt`, or a chat completion request with `messages`. Fixed workers over one
client keep IN_FLIGHT requests in flight, and each writes its result as it comes. Prints one line of JSON.
"""

import asyncio
import json
import resource
import sys
import time

import openai

try:
    import httpx2 as httpx
except ImportError:  # before version 3
    import httpx

try:
    import uvloop
except ImportError:
    uvloop = None


def request_of(record):
    if "messages" in record:
        return record
    return {"model": "simulated", "messages": [{"role": "user", "content": record["prompt"]}]}


async def worker(client, records, output):
    n = 0
    # All workers draw from one iterator: no queue, and never more than one line each in memory.
    for position, line in records:
        result = {"position": position}
        try:
            completion = await client.chat.completions.create(**request_of(json.loads(line)))
            content = completion.choices[0].message.content
            try:
                result["answer"] = json.loads(content)
            except (TypeError, ValueError):
                result["answer"] = content
        except openai.APIStatusError as error:
            result["error"] = error.status_code
        except (openai.APIError, ValueError, AttributeError) as error:
            result["error"] = type(error).__name__
        output.write(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
        n += 1
    return n


async def run(base_url, source, target, in_flight):
    # The SDK over aiohttp takes two thirds of the CPU that it takes over its default (1.0 and 1.5 ms per record here). Its
    # default limits keep a hundred connections alive, and open the others anew for each request.
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight, keepalive_expiry=300)
    http = openai.DefaultAioHttpClient(limits=limits)
    client = openai.AsyncOpenAI(
        base_url=base_url, api_key="simulated", max_retries=0, timeout=None, http_client=http
    )
    with open(source, "rb") as lines, open(target, "w", encoding="utf-8", buffering=1 << 20) as output:
        records = enumerate(lines)
        async with client:
            done = await asyncio.gather(*(worker(client, records, output) for _ in range(in_flight)))
    return sum(done)


def main():
    base_url, source, target, in_flight = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    start = time.perf_counter()
    work = run(base_url, source, target, in_flight)
    records = uvloop.run(work) if uvloop else asyncio.run(work)
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "records": records,
                "seconds": round(seconds, 3),
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
                "peak_rss_mb": round(usage.ru_maxrss / 1024, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
