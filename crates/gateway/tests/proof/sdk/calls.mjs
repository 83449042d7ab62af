// Makes the shared calls with OpenAI's SDK for Node, and prints what it got, one line of JSON for each.
//
// Usage: node calls.mjs calls.json '{"plain": "http://127.0.0.1:PORT/v1", ...}' FOLDER-WITH-node_modules

import { File } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [, , list, addresses, folder] = process.argv;
// Node 18, which Debian has, knows files but not under this name, and the SDK looks for them there.
globalThis.File ??= File;
const require = createRequire(join(folder, "x.js"));
const OpenAI = require("openai");
const { zodResponseFormat } = require("openai/helpers/zod");
const { z } = require("zod");

const VERDICT = z.object({ label: z.enum(["good", "bad"]), score: z.number(), tags: z.array(z.string()) });
const TURN = {
  name: "turn",
  strict: true,
  parameters: {
    type: "object",
    properties: { degrees: { type: "integer" } },
    required: ["degrees"],
    additionalProperties: false,
  },
};
const SOUND = new File([Buffer.concat([Buffer.from("RIFF"), Buffer.from([...Array(256).keys()])])], "a.wav", {
  type: "audio/wav",
});
const WORDS = {
  $hello: [{ role: "user", content: "hello" }],
  $tools: [{ type: "function", function: TURN }],
  $verdict: zodResponseFormat(VERDICT, "verdict"),
  $sound: SOUND,
};

async function act(call, url) {
  const client = new OpenAI({
    baseURL: url,
    apiKey: call.key ?? "right",
    maxRetries: 0,
    timeout: (call.timeout ?? 20) * 1000,
  });
  const path = call.act.split(".");
  const last = path.pop();
  const place = path.reduce((place, part) => place[part], client);
  const options = Object.fromEntries(
    Object.entries(call.options ?? {}).map(([name, value]) => [name, WORDS[value] ?? value]),
  );
  const settings = call.is_raw ? [{ headers: { "x-request-id": "mine-7" } }] : [];
  const given = call.options ? [{ ...options, model: call.vendor }, ...settings] : [];
  const made = place[last](...(call.argument ? [call.argument] : []), ...given);
  if (last === "stream") return await made.finalChatCompletion();
  if (call.is_raw) {
    const { response } = await made.withResponse();
    return { status: response.status, headers: Object.fromEntries(response.headers) };
  }
  const value = await made;
  if (call.options?.stream || call.act === "models.list") {
    const pieces = [];
    for await (const piece of value) pieces.push(piece);
    return pieces;
  }
  if (call.act === "audio.speech.create") {
    const bytes = Buffer.from(await value.arrayBuffer());
    return { bytes: bytes.length, hash: createHash("sha256").update(bytes).digest("hex") };
  }
  return value;
}

const urls = JSON.parse(addresses);
for (const call of JSON.parse(readFileSync(list, "utf8"))) {
  let result;
  try {
    result = { got: await act(call, urls[call.vendor]) };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    result = {
      error: error.constructor.name.replace("APIConnectionTimeoutError", "APITimeoutError"),
      status: error.status ?? null,
      code: error.code ?? null,
      param: error.param ?? null,
      type: error.type ?? null,
      retry_after: error.headers?.get("retry-after") ?? null,
      has_request_id: error.headers?.has("x-request-id") ?? false,
      message: error.message,
    };
  }
  console.log(JSON.stringify({ name: call.name, ...result }));
}
process.exit(0);
