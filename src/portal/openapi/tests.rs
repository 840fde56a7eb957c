//! The document is made, compared and written here.
//!
//! With `DESKTOPD_WRITE_DOCS` in the environment, the tests write the files instead of comparing them.

mod answers;
mod sources;
mod table;
mod types;

use std::ffi::OsStr;
use std::path::Path;

use crate::config::Environment;
use serde_json::{Map, Value, json};

use table::{Answer, Endpoint, Query, endpoints};

/// All schemas, and the endpoints that use them.
struct Made {
    schemas: Map<String, Value>,
    endpoints: Vec<Endpoint>,
}

fn made() -> Made {
    let settings = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize();
    let mut generator = settings.into_generator();
    let endpoints = endpoints(&mut generator);
    Made { schemas: generator.take_definitions(true), endpoints }
}

impl Made {
    fn document(&self) -> Value {
        let mut paths = Map::new();
        for endpoint in &self.endpoints {
            let entry = paths.entry(endpoint.path).or_insert_with(|| json!({}));
            entry[endpoint.method] = operation(endpoint);
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "desktopd",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "The state of the desktop, its logs, and requests for its services. All times without a unit \
                    are milliseconds since the Unix epoch.",
            },
            "servers": [{ "url": "." }],
            "security": [{ "token": [] }, { "password": [] }],
            "paths": paths,
            "components": {
                "schemas": self.schemas,
                "securitySchemes": {
                    "token": { "type": "http", "scheme": "bearer" },
                    "password": { "type": "http", "scheme": "basic" },
                },
            },
        })
    }
}

fn operation(endpoint: &Endpoint) -> Value {
    let in_path = endpoint.path.split('{').skip(1).filter_map(|part| part.split_once('}'));
    let in_path = in_path.map(
        |(name, _)| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
    );
    let query = endpoint.query.iter().map(|Query(name, about)| {
        json!({ "name": name, "in": "query", "description": about, "schema": { "type": "string" } })
    });
    let parameters: Vec<Value> = in_path.chain(query).collect();
    let (kind, content, about) = match &endpoint.answer {
        Answer::Json(schema) => ("application/json", json!({ "schema": schema }), endpoint.about.to_owned()),
        Answer::Text(kind) => (*kind, json!({ "schema": { "type": "string" } }), endpoint.about.to_owned()),
        Answer::Events(events) => {
            let names: Vec<String> = events.iter().map(|(name, _)| format!("`{name}`")).collect();
            let any: Vec<Value> = events
                .iter()
                .map(|(name, data)| json!({ "type": "object", "properties": { "event": { "const": name }, "data": data } }))
                .collect();
            (
                "text/event-stream",
                json!({ "itemSchema": { "oneOf": any } }),
                format!("{} Events: {}.", endpoint.about, names.join(", ")),
            )
        }
    };
    let mut operation = json!({
        "summary": endpoint.about,
        "responses": {
            "200": { "description": about, "content": { kind: content } },
            "default": { "description": "A refusal.", "content": { "application/json": { "schema": endpoint.error } } },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = &endpoint.body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body } } });
    }
    operation
}

/// Compares a file with what it should have, or writes it.
fn keep(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if Environment::inherited().contains_key(OsStr::new("DESKTOPD_WRITE_DOCS")) {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{file} is old: run the test with DESKTOPD_WRITE_DOCS=1");
}

#[test]
fn docs_of_the_api_are_made_from_its_types() {
    let made = made();
    keep("src/portal/assets/openapi.json", &(serde_json::to_string_pretty(&made.document()).unwrap() + "\n"));
    keep("src/portal/web/src/api.d.ts", &types::written(&made.schemas));
}

#[test]
fn docs_of_the_api_have_all_routes_of_the_sources_and_no_others() {
    let documented: Vec<(String, String)> =
        made().endpoints.iter().map(|one| (one.path.to_owned(), one.method.to_owned())).collect();
    let mut known = documented.clone();
    known.sort();
    assert_eq!(known, sources::routes(), "left: the table of the document, right: the routes");
}

/// Every reference leads to a schema.
#[test]
fn docs_of_the_api_are_whole() {
    let document = made().document();
    let text = document.to_string();
    let references: Vec<&str> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 20, "{}", references.len());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
