//! `zkonnx ops`: the ONNX operators that can be proved.
//!
//! All of it comes from the importer's registry; `docs/OPERATORS.md` is the same list, and a test keeps it so.

use serde_json::json;
use zkonnx_onnx::{Supported, supported};

use super::answer::Answer;
use super::args::OpsArgs;
use crate::error::Error;

const PREFACE: &str = "\
# Operators

The ONNX operators that `zkonnx` imports, as `zkonnx ops --markdown` lists them. Opsets are those of the operator's \
domain. *Types* are those of the activations; *limits* say what is refused, always at import and with the node's name; \
*exactness* names the rules that may close a group around it, and [SEMANTICS.md](../SEMANTICS.md) has the arithmetic \
of each and its relation to the integers that ONNX Runtime computes: *integer kernel* and *float steps* are equal to the \
last bit; *float functions* are where no entry of the table is near a tie; *pairs* and *Softmax* may be one \
apart, *exact sum* as many steps as the roundings of a float sum amount to. `zkonnx check` says which rule closed each group of a model, and how exact it is there.

In QDQ form a float operator stands between DequantizeLinear and QuantizeLinear, and its types are those of the \
integers around it. A scale has to be constant: DynamicQuantizeLinear is refused, and `zkonnx quantize` restores the \
models that it is in.
";

pub(super) fn ops(args: &OpsArgs) -> Result<Answer, Error> {
    let all = supported();
    let json = json!({
        "operators": all.iter().map(|op| json!({
            "domain": op.domain,
            "name": op.name,
            "min_opset": op.min_opset,
            "max_opset": op.max_opset,
            "types": op.types,
            "limits": op.limits,
            "exactness": op.exactness.to_string(),
        })).collect::<Vec<_>>(),
    });
    let text = if args.markdown {
        markdown(&all)
    } else {
        listing(&all)
    };
    Ok(Answer::yes(json, text))
}

fn opsets(op: &Supported) -> String {
    if op.min_opset == op.max_opset {
        op.min_opset.to_string()
    } else {
        format!("{} to {}", op.min_opset, op.max_opset)
    }
}

fn listing(all: &[Supported]) -> String {
    let mut text = String::new();
    for op in all {
        let name = match op.domain {
            "ai.onnx" => op.name.to_owned(),
            domain => format!("{domain}.{}", op.name),
        };
        text.push_str(&format!(
            "{name:<38} {:<8}  {}\n    {}; {}\n",
            opsets(op),
            op.types,
            op.limits,
            op.exactness
        ));
    }
    text.push_str(&format!("{} operators\n", all.len()));
    text
}

fn markdown(all: &[Supported]) -> String {
    let mut text = PREFACE.to_owned();
    let mut domain = "";
    for op in all {
        if op.domain != domain {
            domain = op.domain;
            let count = all.iter().filter(|other| other.domain == domain).count();
            text.push_str(&format!(
                "\n## {domain}\n\n{count} operators.\n\n| operator | opsets | types | limits | exactness |\n\
                 | --- | --- | --- | --- | --- |\n"
            ));
        }
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            op.name,
            opsets(op),
            op.types,
            op.limits,
            op.exactness
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_committed_list_of_operators() {
        let committed = include_str!("../../../docs/OPERATORS.md");
        assert!(
            committed == markdown(&supported()),
            "docs/OPERATORS.md is out of date: zkonnx ops --markdown > docs/OPERATORS.md"
        );
    }

    #[test]
    fn accepts_every_operator_in_each_form() {
        for form in [listing(&supported()), markdown(&supported())] {
            for op in supported() {
                assert!(form.contains(op.name) && form.contains(op.limits));
            }
        }
    }
}
