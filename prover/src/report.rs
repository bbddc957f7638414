//! A page that shows how far a quantized model is from the float one: the worst layers first.
//!
//! The page is one file without references and without scripts.

use std::fmt::Write;

use zkonnx_onnx::quantize::{LayerError, OutputError, Quantized};

const STYLE: &str = "\
body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1em 0}\
th,td{padding:.25em .8em;text-align:left;border-bottom:1px solid #ddd}\
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}\
.bar{display:inline-block;height:.7em;background:#c33}\
p.no{color:#a00}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}}";
/// Width of the longest bar, in pixels.
const BAR: f64 = 160.0;

/// The layers, those with the largest relative error first; what is not a number is larger than all that are.
pub(crate) fn worst_first(layers: &[LayerError]) -> Vec<&LayerError> {
    let mut sorted: Vec<&LayerError> = layers.iter().collect();
    let size = |layer: &LayerError| match layer.relative_rms.is_nan() {
        true => f64::INFINITY,
        false => layer.relative_rms,
    };
    sorted.sort_by(|a, b| size(b).total_cmp(&size(a)));
    sorted
}

/// The page of a quantized model. `reasons` are why it was not accepted, if it was not.
pub(crate) fn page(title: &str, quantized: &Quantized, reasons: &[String]) -> String {
    let mut body = format!("<h1>{}</h1>\n", escaped(title));
    for reason in reasons {
        let _ = writeln!(
            body,
            "<p class=\"no\">not accepted: {}</p>",
            escaped(reason)
        );
    }
    body.push_str("<h2>Outputs</h2>\n");
    body.push_str(&head(&["output", "compared"], true));
    for output in &quantized.outputs {
        body.push_str(&row(
            &output.error,
            &compared(output),
            largest(&quantized.layers),
        ));
    }
    body.push_str("</table>\n<h2>Layers, the worst first</h2>\n");
    body.push_str(&head(&["tensor", "operator"], true));
    for layer in worst_first(&quantized.layers) {
        body.push_str(&row(layer, &layer.op, largest(&quantized.layers)));
    }
    body.push_str("</table>\n");
    let tail = &quantized.imported.tail;
    if !tail.is_empty() {
        body.push_str("<h2>Computed outside the proof</h2>\n");
        body.push_str(&head(&["node", "operator"], false));
        for node in tail {
            let (name, op) = (escaped(&node.node), escaped(&node.op));
            let _ = writeln!(body, "<tr><td>{name}</td><td>{op}</td></tr>");
        }
        body.push_str("</table>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title><style>{STYLE}</style></head>\n\
         <body>\n{body}</body></html>\n",
        escaped(title)
    )
}

fn head(names: &[&str], errors: bool) -> String {
    let mut text = String::from("<table><tr>");
    for name in names {
        let _ = write!(text, "<th>{name}</th>");
    }
    if errors {
        for name in ["max abs", "mean abs", "relative rms"] {
            let _ = write!(text, "<th class=\"number\">{name}</th>");
        }
        text.push_str("<th></th>");
    }
    text.push_str("</tr>\n");
    text
}

fn row(layer: &LayerError, what: &str, largest: f64) -> String {
    let share = layer.relative_rms / largest;
    let width = match share.is_finite() {
        true => (BAR * share).clamp(0.0, BAR),
        false => BAR,
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td class=\"number\">{:.3e}</td><td class=\"number\">{:.3e}</td>\
         <td class=\"number\">{}</td><td><span class=\"bar\" style=\"width:{width:.0}px\"></span></td></tr>\n",
        escaped(&layer.tensor),
        escaped(what),
        layer.max_abs,
        layer.mean_abs,
        match layer.relative_rms.is_finite() {
            true => format!("{:.3} %", 100.0 * layer.relative_rms),
            false => "infinite".to_owned(),
        },
    )
}

/// The largest finite error, of which all bars are shares.
fn largest(layers: &[LayerError]) -> f64 {
    let finite = layers.iter().map(|layer| layer.relative_rms);
    let finite = finite.filter(|error| error.is_finite());
    finite.fold(f64::MIN_POSITIVE, f64::max)
}

fn compared(output: &OutputError) -> String {
    match (&output.absent, output.differing) {
        (Some(reason), _) => reason.clone(),
        (None, Some((of, differ))) => format!("{differ} of {of} integers differ"),
        (None, None) => "with the float model".to_owned(),
    }
}

/// Text as HTML shows it. Names come from a file that somebody else may have made.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(tensor: &str, relative_rms: f64) -> LayerError {
        LayerError {
            tensor: tensor.to_owned(),
            op: "Conv".to_owned(),
            max_abs: 1.0,
            mean_abs: 0.5,
            relative_rms,
        }
    }

    #[test]
    fn accepts_the_worst_layers_first() {
        let layers = [
            layer("a", 0.1),
            layer("b", f64::NAN),
            layer("c", 0.3),
            layer("d", 0.2),
        ];
        let order: Vec<&str> = worst_first(&layers)
            .into_iter()
            .map(|layer| layer.tensor.as_str())
            .collect();
        assert_eq!(order, ["b", "c", "d", "a"]);
        assert_eq!(largest(&layers), 0.3);
    }

    #[test]
    fn rejects_markup_in_names() {
        let text = row(&layer("<script>\"&\n", 0.5), "x", 1.0);
        assert!(text.contains("&lt;script&gt;&quot;&amp;\u{fffd}"), "{text}");
        assert!(text.contains("width:80px"), "{text}");
    }
}
