//! The post-processor that puts a beginning-of-text token before a text.

use serde_json::{Value, json};

/// The part `post_processor` of a `tokenizer.json`: none without a token.
pub(crate) fn post_processor(bos: Option<(&str, u32)>) -> Value {
    let Some((token, id)) = bos else { return Value::Null };
    let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = |name, type_id| json!({ "Sequence": { "id": name, "type_id": type_id } });
    json!({
        "type": "TemplateProcessing",
        "single": [special, text("A", 0)],
        "pair": [special, text("A", 0), text("B", 1)],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    })
}
