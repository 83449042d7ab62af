//! The body of a response: the envelope around what a model said.

#![no_main]

mod answers;
mod seeds;

use serde_json::json;

fn body(said: &str) -> Vec<u8> {
    let message = json!({"role": "assistant", "content": said, "refusal": null, "reasoning_content": "hm"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 12, "completion_tokens": 3.0, "prompt_tokens_details": {"cached_tokens": 4}});
    json!({"id": "c-1", "model": "m", "choices": [choice], "usage": usage}).to_string().into_bytes()
}

libfuzzer_sys::fuzz_target!(
    init: seeds::write("envelope", answers::said().map(|said| body(&said))),
    |data: &[u8]| work::prompt::fuzzing::envelope(data)
);
