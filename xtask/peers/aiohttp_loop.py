"""A bare aiohttp loop: what a careful Python programmer would write to put a file of prompts to a model.

Usage: aiohttp_loop.py BASE_URL INPUT OUTPUT IN_FLIGHT

Each line of INPUT is a JSON object with a `prompt`, or a chat completion request with `messages`. Fixed workers over one
session keep IN_FLIGHT requests in flight, and each writes its result as it comes. Prints one line of JSON.
"""

import asyncio
import json
import resource
import sys
import time

import aiohttp

try:
    import uvloop
except ImportError:
    uvloop = None


def request_of(record):
    if "messages" in record:
        return record
    return {"model": "simulated", "messages": [{"role": "user", "content": record["prompt"]}]}


async def worker(session, url, records, output):
    n = 0
    # All workers draw from one iterator: no queue, and never more than one line each in memory.
    for position, line in records:
        body = json.dumps(request_of(json.loads(line)), separators=(",", ":"))
        result = {"position": position}
        try:
            async with session.post(url, data=body) as response:
                raw = await response.read()
                status = response.status
            if status == 200:
                content = json.loads(raw)["choices"][0]["message"]["content"]
                try:
                    result["answer"] = json.loads(content)
                except (TypeError, ValueError):
                    result["answer"] = content
            else:
                result["error"] = status
        except (aiohttp.ClientError, ValueError, KeyError) as error:
            result["error"] = type(error).__name__
        output.write(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
        n += 1
    return n


async def run(base_url, source, target, in_flight):
    connector = aiohttp.TCPConnector(limit=in_flight, keepalive_timeout=300)
    session = aiohttp.ClientSession(
        connector=connector,
        headers={"content-type": "application/json", "authorization": "Bearer simulated"},
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    url = base_url.rstrip("/") + "/chat/completions"
    with open(source, "rb") as lines, open(target, "w", encoding="utf-8", buffering=1 << 20) as output:
        records = enumerate(lines)
        async with session:
            done = await asyncio.gather(*(worker(session, url, records, output) for _ in range(in_flight)))
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
