//! How the cost of a proof grows with the work: a drawing of a suite, both axes logarithmic.

use std::path::Path;

use serde_json::Value;

use super::Failure;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
const MARGIN: f64 = 64.0;

/// One model of the suite.
struct Point {
    name: String,
    macs: f64,
    seconds: f64,
}

/// Draws `suite` (written by `zkonnx-bench suite --json`) over the multiply-accumulates that `manifest` states.
pub(super) fn run(suite: &Path, manifest: &Path, out: &Path) -> Result<bool, Failure> {
    let read = |path: &Path| -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    };
    let (suite, manifest) = (read(suite)?, read(manifest)?);
    let macs = |name: &str| {
        let models = manifest["models"].as_array().into_iter().flatten();
        let mut known = models
            .filter(|m| m["model"] == name)
            .filter_map(|m| m["macs"].as_f64());
        known.next()
    };
    let points: Vec<Point> = suite["models"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| {
            let name = m["model"].as_str()?.split('/').next()?.to_owned();
            Some(Point {
                macs: macs(&name)?,
                seconds: m["prove_cpu_s"].as_f64()?,
                name,
            })
        })
        .collect();
    if points.is_empty() {
        return Err("no model of the suite is in the manifest".into());
    }
    zkonnx_prover::files::write(out, svg(&points).as_bytes())?;
    for point in &points {
        println!(
            "{:<24} {:>10} MACs {:>8.3} s {:>10.1} ns a MAC",
            point.name,
            point.macs,
            point.seconds,
            1e9 * point.seconds / point.macs,
        );
    }
    Ok(true)
}

/// Decades that hold all values.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let logs = values.map(f64::log10);
    let low = logs.clone().fold(f64::INFINITY, f64::min).floor();
    let high = logs.fold(f64::NEG_INFINITY, f64::max).ceil();
    (low, high.max(low + 1.0))
}

fn svg(points: &[Point]) -> String {
    let (left, right) = decades(points.iter().map(|p| p.macs));
    let (low, high) = decades(points.iter().map(|p| p.seconds));
    let x = |log: f64| MARGIN + (log - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let y = |log: f64| HEIGHT - MARGIN - (log - low) / (high - low) * (HEIGHT - 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for decade in left as i32..=right as i32 {
        let at = x(f64::from(decade));
        out += &format!(
            "<path d=\"M{at:.1} {MARGIN}V{}\" stroke=\"#ddd\"/>",
            HEIGHT - MARGIN
        );
        out += &format!(
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">10^{decade}</text>\n",
            HEIGHT - MARGIN + 18.0
        );
    }
    for decade in low as i32..=high as i32 {
        let at = y(f64::from(decade));
        out += &format!(
            "<path d=\"M{MARGIN} {at:.1}H{}\" stroke=\"#ddd\"/>",
            WIDTH - MARGIN
        );
        out += &format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">10^{decade} s</text>\n",
            MARGIN - 6.0,
            at + 4.0
        );
    }
    for point in points {
        let (cx, cy) = (x(point.macs.log10()), y(point.seconds.log10()));
        let color = match point.name.as_str() {
            n if n.starts_with("grow_mlp") => "#2a6fbb",
            n if n.starts_with("grow_cnn") => "#c0392b",
            _ => "#444444",
        };
        out += &format!("<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{color}\"/>");
        if !point.name.starts_with("grow") {
            out += &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                cx + 6.0,
                cy - 6.0,
                point.name
            );
        }
        out.push('\n');
    }
    out += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">multiply-accumulates</text>\n\
         <text x=\"{MARGIN}\" y=\"32\" font-size=\"14\">CPU seconds of a proof; blue: growing perceptrons, \
         red: growing convolutional nets</text>\n</svg>\n",
        WIDTH / 2.0,
        HEIGHT - 16.0,
    );
    out
}
