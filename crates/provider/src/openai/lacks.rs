//! What a refusal says of the vendor's abilities, as a table.
//!
//! There is no code for "I do not take this member", so it is told by words. Where they mislead, little is lost: what
//! was understood here is believed only after the same request, asked for less, was answered.

use domain::FailureKind;

/// One line: a refusal that holds all of these words says it. Quotes, backslashes and the space behind a colon are taken
/// out before, since vendors and those who relay them quote in many ways.
type Row = &'static [&'static str];

/// Refusals of the demanded form. Each was read in the document or thread beside it; none but the scripted vendor's has
/// been seen live.
const FORM: &[Row] = &[
    // OpenAI, for models before gpt-4o-2024-08-06. https://github.com/web-infra-dev/midscene/issues/259
    &["response_format", "not supported with this model"],
    // OpenAI's assistants. https://github.com/openai/openai-dotnet/issues/276
    &["response_format", "is not supported with model"],
    // OpenAI: what strict schemas may hold is less than JSON Schema. https://github.com/dottxt-ai/outlines/issues/844
    &["invalid schema for response_format"],
    // OpenAI, and gateways that know their members: https://github.com/mkht/PSOpenAI/issues/44
    &["unsupported parameter:response_format"],
    &["unknown parameter:response_format"],
    &["unrecognized request argument supplied:response_format"],
    // Azure. https://github.com/danny-avila/LibreChat/issues/8325
    &["response_format value as", "enabled only for api versions"],
    // Azure's Claude, through OpenRouter. https://github.com/openstory-so/openstory/issues/1302
    &["compiled grammar is too large"],
    // DeepSeek. https://github.com/ItzCrazyKns/Vane/issues/969
    &["response_format type is unavailable"],
    // DeepSeek, earlier. https://github.com/BerriAI/litellm/issues/7580
    &["response_format.type", "is unavailable"],
    // Volcengine Ark. https://github.com/agno-agi/agno/issues/2553, https://github.com/bytedance/deer-flow/issues/747
    &["response_format", "are not valid"],
    // Moonshot. https://github.com/langgenius/dify/issues/9785
    &["response_format", "is illegal"],
    // Zhipu words every mistake in a parameter alike. https://github.com/spring-projects/spring-ai/issues/903
    &["code:1210"],
    // SiliconFlow. https://github.com/egoist/chatwise-releases/issues/141
    &["json mode is not supported"],
    // DashScope, for models that think. https://github.com/presenton/presenton/issues/184
    &["json mode response is not supported"],
    // Gemini and Gemma. https://github.com/google-gemini/deprecated-generative-ai-python/issues/137
    &["json mode is not enabled"],
    // Gemini's compatible endpoint names its own member where a schema has a keyword that it does not know.
    // https://ai.google.dev/gemini-api/docs/structured-output
    &["unknown name", "response_schema"],
    &["unknown name", "response_json_schema"],
    // Groq. https://github.com/ItzCrazyKns/Vane/issues/980, https://github.com/i-am-bee/beeai-framework/issues/1215
    &["does not support response format"],
    &["invalid schema for response format"],
    // Groq, earlier. https://github.com/vercel/ai/issues/7808
    &["response_format", "one of the following must be satisfied"],
    // llama.cpp before https://github.com/ggml-org/llama.cpp/pull/9527, with status 500.
    &["response_format type must be one of"],
    // LM Studio, which takes a schema and no object. https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189
    &["response_format.type must be"],
    // vLLM. https://github.com/vllm-project/vllm/issues/16321
    &["json schema contains features not supported"],
    // SGLang. https://github.com/sgl-project/sglang/pull/11401
    &["grammar-based generation", "not supported"],
    // LiteLLM. https://docs.litellm.ai/docs/completion/drop_params
    &["does not support parameters", "response_format"],
    // OpenRouter, where parameters are required. https://openrouter.ai/docs/guides/routing/provider-selection
    &["no endpoints found that can handle the requested parameters"],
    // Whoever checks requests with pydantic: Perplexity (https://github.com/567-labs/instructor/issues/1005), Fireworks,
    // older vLLM, llama-cpp-python.
    &["response_format", "input should be"],
    &["response_format", "extra inputs are not permitted"],
    // Whoever says it in plain words.
    &["response_format", "not supported"],
    &["response_format", "not support"],
    &["response_format", "unsupported"],
    &["json_schema", "not supported"],
    &["json_schema", "not support"],
    &["json_schema", "unsupported"],
    &["json_object", "not supported"],
    &["structured output", "not supported"],
    &["structured output", "not support"],
    &["response_format", "不支持"],
    &["json_schema", "不支持"],
];

/// Refusals of `stream_options`.
const STREAM_OPTIONS: &[Row] = &[
    // Mistral: https://github.com/openai/openai-agents-python/issues/442; Azure with data sources:
    // https://github.com/openai/openai-python/issues/2296; servers behind gateways that do not know it:
    // https://github.com/QuantumNous/new-api/issues/418. It stands in a request for one reason only, so its name is enough.
    &["stream_options"],
    // Databricks' Bedrock. https://github.com/anomalyco/opencode/issues/4698
    &["include_usage"],
];

/// How much of a refusal is looked through.
const LONGEST: usize = 16 << 10;

/// A refusal, ready to be searched.
pub(super) struct Refusal(String);

impl Refusal {
    /// Takes a refusal that may be one of a member; nothing where something else is the matter.
    pub(super) fn of(kind: FailureKind, body: &[u8]) -> Option<Self> {
        // Older llama.cpp answers 500 to what it does not take.
        if !matches!(kind, FailureKind::Rejected | FailureKind::Unavailable) || body.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST)]).to_lowercase();
        let quotes = ['\'', '"', '`', '\\', ' '];
        let mut plain = String::with_capacity(text.len());
        let mut was_space = false;
        for c in text.chars() {
            let is_space = c.is_whitespace();
            if is_space && !was_space && !plain.ends_with(':') {
                plain.push(' ');
            }
            if !is_space && !quotes.contains(&c) {
                plain.push(c);
            }
            was_space = is_space;
        }
        Some(Self(plain))
    }

    /// Returns whether it refuses the demanded form of the answer.
    pub(super) fn is_of_form(&self) -> bool {
        self.holds(FORM)
    }

    /// Returns whether it refuses `stream_options`.
    pub(super) fn is_of_stream_options(&self) -> bool {
        self.holds(STREAM_OPTIONS)
    }

    fn holds(&self, rows: &[Row]) -> bool {
        rows.iter().any(|words| words.iter().all(|word| self.0.contains(word)))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::openai::classify;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fixture {
        /// Where it is written.
        source: String,
        status: u16,
        body: Value,
        /// `form`, `stream_options`, or nothing.
        lacks: Option<String>,
    }

    #[test]
    fn every_vendors_words_are_understood() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/abilities.json");
        let fixtures: BTreeMap<String, Fixture> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert!(fixtures.len() > 30);
        for (name, Fixture { source, status, body, lacks }) in fixtures {
            assert!(!source.is_empty(), "{name}");
            let body = match &body {
                Value::String(text) => text.clone(),
                json => json.to_string(),
            };
            let refusal = Refusal::of(classify::kind(status, &[]), body.as_bytes());
            let form = refusal.as_ref().is_some_and(Refusal::is_of_form);
            let options = refusal.as_ref().is_some_and(Refusal::is_of_stream_options);
            assert_eq!(
                (form, options),
                (lacks.as_deref() == Some("form"), lacks.as_deref() == Some("stream_options")),
                "{name}"
            );
        }
    }
}
