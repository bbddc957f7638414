//! What a function may return at once, by its type.

use syn::{GenericArgument, PathArguments, ReturnType, Type};

/// The values to try; empty where none is known.
pub(crate) fn returned(output: &ReturnType) -> Vec<String> {
    match output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, ty) => values(ty),
    }
}

fn values(ty: &Type) -> Vec<String> {
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    match ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => texts(&["()"]),
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(_) => texts(&["&[]"]),
            _ => Vec::new(),
        },
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Vec::new();
            };
            match last.ident.to_string().as_str() {
                "bool" => texts(&["true", "false"]),
                "usize" | "u8" | "u16" | "u32" | "u64" | "u128" | "isize" | "i8" | "i16"
                | "i32" | "i64" | "i128" => texts(&["0", "1"]),
                "Option" => texts(&["None"]),
                "Result" => match &last.arguments {
                    PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                        Some(GenericArgument::Type(ty)) => {
                            values(ty).iter().map(|v| format!("Ok({v})")).collect()
                        }
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                },
                "Vec" => texts(&["Vec::new()"]),
                // What has no default does not compile and is dropped.
                _ => texts(&["Default::default()"]),
            }
        }
        _ => Vec::new(),
    }
}
