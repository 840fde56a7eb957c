//! The types of the scripts, from the same schemas.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// All schemas as types.
pub(super) fn written(schemas: &Map<String, Value>) -> String {
    let mut text = "// What the API sends. A test makes this file from the types in Rust: run it with DESKTOPD_WRITE_DOCS=1 after a change.\n".to_owned();
    for (name, schema) in schemas {
        text.push('\n');
        about(&mut text, schema, "");
        // Writing to a string cannot fail.
        let _ = match schema["properties"].as_object() {
            Some(_) if schema.get("oneOf").is_none() && schema.get("anyOf").is_none() => {
                writeln!(text, "export interface {name} {}", object(schema, ""))
            }
            _ => writeln!(text, "export type {name} = {};", shape(schema, "")),
        };
    }
    text
}

fn about(text: &mut String, schema: &Value, indent: &str) {
    if let Some(about) = schema["description"].as_str() {
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{indent}/** {about} */");
    }
}

fn object(schema: &Value, indent: &str) -> String {
    let inner = format!("{indent}  ");
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = "{\n".to_owned();
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        about(&mut text, value, &inner);
        let optional = if required.contains(&key.as_str()) { "" } else { "?" };
        let _ = writeln!(text, "{inner}{key}{optional}: {};", shape(value, &inner));
    }
    text + indent + "}"
}

fn shape(schema: &Value, indent: &str) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let union = |all: &[Value]| all.iter().map(|one| shape(one, indent)).collect::<Vec<_>>().join(" | ");
    let choices = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    if let Some(choices) = choices {
        let union = union(choices);
        // Fields that all of them have.
        return if schema["properties"].is_object() {
            format!("{} & ({union})", object(schema, indent))
        } else {
            union
        };
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return "unknown".to_owned(),
    };
    kinds.iter().map(|kind| simple(schema, kind, indent)).collect::<Vec<_>>().join(" | ")
}

fn simple(schema: &Value, kind: &str, indent: &str) -> String {
    match kind {
        "integer" | "number" => "number".to_owned(),
        "array" => match schema["prefixItems"].as_array() {
            Some(items) => {
                format!("[{}]", items.iter().map(|one| shape(one, indent)).collect::<Vec<_>>().join(", "))
            }
            None => match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                (Some(least), Some(most)) if least == most && most < 5 => {
                    let item = shape(&schema["items"], indent);
                    format!("[{}]", vec![item; usize::try_from(most).unwrap_or(0)].join(", "))
                }
                _ => format!("({})[]", shape(&schema["items"], indent)),
            },
        },
        "object" if schema["properties"].is_object() => object(schema, indent),
        "object" => format!("Record<string, {}>", shape(&schema["additionalProperties"], indent)),
        kind => kind.to_owned(),
    }
}
