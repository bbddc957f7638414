//! What a command answers, and how that is said: a text for people, or one JSON object for programs.
//!
//! Every object has the same frame, also those of errors and of wrong usage: `version` of the format, `command`,
//! `exit_code`, `warnings`, and `error` where there is one. `docs/json/` describes all of it, and a test holds the
//! commands to that.

use serde_json::{Map, Value, json};
use zkonnx_onnx::quantize::QuantizeError;
use zkonnx_onnx::{ImportError, NodeProblem};

use crate::error::{Error, Exit};

/// Version of the JSON answers. It grows when a field changes its name or meaning or goes, not when one is added.
pub(crate) const VERSION: u32 = 1;

/// What a command found out.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) json: Value,
    pub(crate) text: String,
    pub(crate) exit: Exit,
    /// What kept parts of the request from being answered, for stderr. The worst of them decides the exit code.
    pub(crate) errors: Vec<Error>,
}

impl Answer {
    pub(crate) fn yes(json: Value, text: String) -> Self {
        Self::new(json, text, Exit::Yes)
    }

    pub(crate) fn new(json: Value, text: String, exit: Exit) -> Self {
        Self {
            json,
            text,
            exit,
            errors: Vec::new(),
        }
    }
}

/// Something that was done and that the caller may not have meant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    /// The cause in one word that stays the same between versions.
    pub(crate) kind: &'static str,
    /// One sentence.
    pub(crate) message: String,
    /// What a program may want to know beside it.
    pub(crate) facts: Map<String, Value>,
}

impl Warning {
    fn json(&self) -> Value {
        let mut json = self.facts.clone();
        json.insert("kind".into(), json!(self.kind));
        json.insert("message".into(), json!(self.message));
        Value::Object(json)
    }
}

/// The frame of an answer with the fields of `body`, an object, in it.
pub(crate) fn framed(
    command: Option<&str>,
    exit: Exit,
    warnings: &[Warning],
    body: Value,
) -> Value {
    let mut frame = json!({
        "version": VERSION,
        "command": command,
        "exit_code": exit as u8,
        "warnings": warnings.iter().map(Warning::json).collect::<Vec<_>>(),
    });
    if let (Value::Object(frame), Value::Object(body)) = (&mut frame, body) {
        frame.extend(body);
    }
    frame
}

/// What an error says to programs.
pub(crate) fn error_json(error: &Error) -> Value {
    let mut json = json!({"error": error_object(error)});
    if let Some(problems) = problems(error) {
        json["problems"] = problems_json(problems);
    }
    json
}

/// `error` alone, as it also stands beside one file of several.
pub(crate) fn error_object(error: &Error) -> Value {
    json!({"kind": error.kind(), "message": error.to_string()})
}

/// The nodes that an error is about.
fn problems(error: &Error) -> Option<&[NodeProblem]> {
    let source = match error {
        Error::Import { source, .. } => source.as_ref(),
        Error::Quantize { source, .. } => match source.as_ref() {
            QuantizeError::Model(source) | QuantizeError::NotProvable(source) => source,
            _ => return None,
        },
        _ => return None,
    };
    match source {
        ImportError::Unsupported(problems) => Some(problems),
        _ => None,
    }
}

/// Nodes that are not supported.
pub(crate) fn problems_json(problems: &[NodeProblem]) -> Value {
    let one = |problem: &NodeProblem| {
        json!({
            "node": problem.node,
            "op": problem.op,
            "domain": problem.domain,
            "opset": problem.opset,
            "reason": problem.reason.to_string(),
        })
    };
    problems.iter().map(one).collect()
}

/// The object of a command line that cannot be understood, or that asks for help or the version.
pub(crate) fn usage_json(command: Option<&str>, exit: Exit, text: &str) -> Value {
    let text = text.trim();
    let body = match exit {
        Exit::Yes => json!({"text": text}),
        _ => {
            // What follows the first paragraph repeats the usage.
            let message = text.split("\n\n").next().unwrap_or(text);
            let message = message.strip_prefix("error: ").unwrap_or(message);
            json!({"error": {"kind": "usage", "message": message}})
        }
    };
    framed(command, exit, &[], body)
}
