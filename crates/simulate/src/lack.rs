//! What the vendor does not take, and in whose words it says so.
//!
//! The words are those of vendors, as their documents and their users quote them.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the vendor does not take of a request. A request that has it is turned away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lacks {
    /// A `response_format` of type `json_schema`, refused in these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<Words>,
    /// A `response_format` of type `json_object`, refused in these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_object: Option<Words>,
    /// `stream_options`, refused in these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<Words>,
    /// The wish for a stream: it answers whole, without a word.
    pub stream: bool,
    /// Texts to embed of more tokens than that: the request is refused whole, in OpenAI's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_above: Option<u32>,
}

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// OpenAI's, with status 400.
    #[serde(rename = "openai")]
    OpenAi,
    /// Azure's.
    Azure,
    /// `DeepSeek`'s.
    #[serde(rename = "deepseek")]
    DeepSeek,
    /// Volcengine Ark's.
    Volcengine,
    /// `SiliconFlow`'s, whose shape is its own.
    #[serde(rename = "siliconflow")]
    SiliconFlow,
    /// `DashScope`'s for models that think.
    #[serde(rename = "dashscope")]
    DashScope,
    /// Zhipu's, in Chinese, for any parameter.
    Zhipu,
    /// Groq's.
    Groq,
    /// llama.cpp's of old, with status 500.
    LlamaCpp,
    /// LM Studio's.
    LmStudio,
    /// vLLM's.
    Vllm,
    /// `SGLang`'s.
    Sglang,
    /// Mistral's, with status 422.
    Mistral,
}

/// What is refused.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    JsonSchema,
    JsonObject,
    StreamOptions,
}

impl Words {
    /// Words a refusal: the status and the body.
    pub(crate) fn refuse(self, what: Refused) -> (StatusCode, Value) {
        let name = match what {
            Refused::JsonSchema => "json_schema",
            Refused::JsonObject => "json_object",
            Refused::StreamOptions => return self.refuse_member("stream_options"),
        };
        let openai = |message: &str| json!({ "error": { "message": message, "type": "invalid_request_error", "param": "response_format", "code": null } });
        let flat = |message: &str| json!({ "object": "error", "message": message, "type": "BadRequestError", "param": null, "code": 400 });
        let body = match self {
            Words::OpenAi => openai(&format!(
                "Invalid parameter: 'response_format' of type '{name}' is not supported with this model."
            )),
            Words::Azure => {
                let message = format!(
                    "response_format value as {name} is enabled only for api versions 2024-08-01-preview and later"
                );
                json!({ "error": { "code": "BadRequest", "message": message } })
            }
            Words::DeepSeek => openai("This response_format type is unavailable now"),
            Words::Volcengine => {
                let message = format!(
                    "The parameter `response_format.type` specified in the request are not valid: `{name}` is not supported \
                     by this model. Request id: 0217649870139107b0c02c13018d6f15"
                );
                json!({ "error": { "code": "InvalidParameter", "message": message, "param": "response_format.type", "type": "BadRequest" } })
            }
            Words::SiliconFlow => {
                json!({ "code": 20024, "message": "Json mode is not supported for this model.", "data": null })
            }
            Words::DashScope => {
                let message = "<400> InternalError.Algo.InvalidParameter: Json mode response is not supported when \
                               enable_thinking is true";
                json!({ "error": { "code": "invalid_parameter_error", "param": null, "message": message, "type": "invalid_request_error" } })
            }
            Words::Zhipu => json!({ "error": { "code": "1210", "message": "API 调用参数有误，请检查文档。" } }),
            Words::Groq => openai(&format!("This model does not support response format `{name}`.")),
            Words::LlamaCpp => {
                let message =
                    format!("response_format type must be one of \"text\" or \"json_object\", but got: {name}");
                return (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    json!({ "error": { "code": 500, "message": message, "type": "server_error" } }),
                );
            }
            Words::LmStudio => json!({ "error": "'response_format.type' must be 'json_schema' or 'text'" }),
            Words::Vllm => flat("The provided JSON schema contains features not supported by xgrammar."),
            Words::Sglang => flat(
                "Grammar-based generation (json_schema, regex, ebnf, structural_tag) is not supported when the server is \
                 launched with --grammar-backend none",
            ),
            Words::Mistral => return self.refuse_member("response_format"),
        };
        (StatusCode::BAD_REQUEST, body)
    }

    fn refuse_member(self, name: &str) -> (StatusCode, Value) {
        if self == Words::Mistral {
            let detail =
                json!([{ "type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted" }]);
            let message = json!({ "detail": detail });
            let body = json!({ "object": "error", "message": message, "type": "invalid_request_error", "param": null, "code": null });
            return (StatusCode::UNPROCESSABLE_ENTITY, body);
        }
        let message = format!("Unknown parameter: '{name}'.");
        let body = json!({ "error": { "message": message, "type": "invalid_request_error", "param": name, "code": "unknown_parameter" } });
        (StatusCode::BAD_REQUEST, body)
    }
}
