//! Checking JSON against a JSON Schema, as far as `docs/json/` uses the language. A keyword that is not known here is an
//! error, so that nothing in a schema goes unchecked, and so is a property that the schema does not name.

use serde_json::{Map, Value};

/// A schema with its definitions.
#[derive(Debug)]
pub struct Schema(Value);

/// The only pattern in use: 32 bytes in hexadecimal.
const HEX32: &str = "^[0-9a-f]{64}$";

impl Schema {
    /// A schema from its text.
    pub fn new(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// The names of the definitions that a whole document may be.
    pub fn documents(&self) -> Vec<String> {
        let any = self.0["anyOf"].as_array().into_iter().flatten();
        any.filter_map(|one| Some(one["$ref"].as_str()?.strip_prefix("#/$defs/")?.to_owned()))
            .collect()
    }

    /// Why a value does not fit a definition.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        match self.0["$defs"].get(name) {
            Some(schema) => self.fits(schema, value, name),
            None => Err(format!("there is no definition `{name}`")),
        }
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Value::Object(schema) = schema else {
            return Err(format!("{at}: a schema has to be an object"));
        };
        for (keyword, rule) in schema {
            let good = match keyword.as_str() {
                "description" => true,
                "const" => value == rule,
                "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
                "type" => is_of_type(rule, value),
                "minimum" => value.as_f64() >= rule.as_f64(),
                "pattern" if rule == HEX32 => value.as_str().is_some_and(is_hex32),
                "required" => {
                    let mut names = rule.as_array().into_iter().flatten();
                    match names.find(|name| value.get(name.as_str().unwrap_or("")).is_none()) {
                        None => true,
                        Some(name) => return Err(format!("{at}: {name} is missing in {value}")),
                    }
                }
                "properties" => {
                    self.properties(rule, value, at)?;
                    true
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.fits(rule, item, &format!("{at}[{i}]"))?;
                    }
                    true
                }
                "anyOf" => {
                    self.any(rule, value, at)?;
                    true
                }
                "$ref" => {
                    let name = rule.as_str().and_then(|name| name.strip_prefix("#/$defs/"));
                    let name = name.ok_or(format!("{at}: {rule} is no definition"))?;
                    let schema = self.0["$defs"].get(name);
                    self.fits(schema.ok_or(format!("{at}: no `{name}`"))?, value, at)?;
                    true
                }
                other => return Err(format!("{at}: the keyword `{other}` is not known")),
            };
            if !good {
                return Err(format!("{at}: {value} is not {keyword} {rule}"));
            }
        }
        Ok(())
    }

    fn properties(&self, rule: &Value, value: &Value, at: &str) -> Result<(), String> {
        let nothing = Map::new();
        let known = rule.as_object().unwrap_or(&nothing);
        for (name, value) in value.as_object().unwrap_or(&nothing) {
            let schema = known.get(name);
            let schema = schema.ok_or(format!("{at}: `{name}` is not described"))?;
            self.fits(schema, value, &format!("{at}.{name}"))?;
        }
        Ok(())
    }

    fn any(&self, rule: &Value, value: &Value, at: &str) -> Result<(), String> {
        let mut reasons = Vec::new();
        for schema in rule.as_array().into_iter().flatten() {
            match self.fits(schema, value, at) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(format!("{at}: none of ({})", reasons.join(") (")))
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    match rule.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

fn is_hex32(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}
