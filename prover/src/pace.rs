//! How fast this machine proves, against the machine that the cost model was fitted on.
//!
//! The planner's costs are seconds of one machine for all, because a plan must not depend on where it is made. For people
//! they are turned into seconds of theirs: the built-in model is proved, which takes less than a second, and what that
//! takes over what was predicted is the pace. It is kept in the cache, for this program and this processor.
//!
//! A pace decides nothing but the seconds that `check` prints, so the file is not trusted with anything else, and what is
//! not a number in a sensible range is measured again.

use std::path::Path;

use serde::{Deserialize, Serialize};
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_verifier::InputVisibility;

use crate::cache::Cache;
use crate::demo_model;
use crate::error::Error;
use crate::files;
use crate::keys::Keys;
use crate::model::Model;
use crate::progress::Progress;
use crate::prover::{How, prove};

/// How often the built-in model is proved; the fastest counts.
const ROUNDS: usize = 3;
/// What a pace may be; anything else is a broken file or a broken clock.
const SENSIBLE: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;
/// Name of the file in the cache.
const FILE: &str = "pace.json";
const MAX_FILE_BYTES: u64 = 1 << 12;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// What the pace is of.
    of: String,
    pace: f64,
}

/// Seconds here for one second of the cost model.
pub fn pace(cache: &Cache, progress: &Progress) -> Result<f64, Error> {
    let of = of_this_machine();
    let path = cache.folder().map(|folder| folder.join(FILE));
    if let Some(known) = path.as_deref().and_then(|path| read(path, &of)) {
        return Ok(known);
    }
    progress.step("measuring how fast this machine proves (once)");
    let pace = measure(cache)?;
    if let Some(path) = path {
        // Without it the next run measures again.
        let _ = store(&path, &Stored { of, pace });
    }
    Ok(pace)
}

fn measure(cache: &Cache) -> Result<f64, Error> {
    let quiet = Progress::hidden();
    let model = Model::import(
        Path::new(demo_model::NAME),
        demo_model::MODEL,
        &zkonnx_onnx::Bindings::default(),
    )?;
    let program = model.program.clone();
    let visibility = InputVisibility::Public;
    let keys = Keys::generate(program, visibility, &PlanOptions::default(), cache, &quiet)?;
    let inputs = demo_model::blank(&model.program);
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let context = [[0; 32]];
        let proved = prove(&keys, &[&inputs], &context, How::default(), cache, &quiet)?;
        least = least.min(proved.prove_cpu_s);
    }
    let pace = least / keys.compiled.cost.prove_cpu_s;
    Ok(pace.clamp(*SENSIBLE.start(), *SENSIBLE.end()))
}

/// The program and the processor. A debug build is another program.
fn of_this_machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or(std::env::consts::ARCH, |name| {
        name.trim_matches([' ', '\t', ':'])
    });
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!("{} {build}, {model}", crate::keys::SETUP_VERSION)
}

fn read(path: &Path, of: &str) -> Option<f64> {
    let bytes = files::read(path, MAX_FILE_BYTES, "a pace").ok()?;
    let stored: Stored = serde_json::from_slice(&bytes).ok()?;
    (stored.of == of && SENSIBLE.contains(&stored.pace)).then_some(stored.pace)
}

fn store(path: &Path, stored: &Stored) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        files::create_folder(folder)?;
    }
    let text = serde_json::to_vec(stored).unwrap_or_default();
    Ok(files::write(path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_pace_is_used_only_if_it_is_sensible_and_of_this_machine() {
        let folder = std::env::temp_dir().join(format!("zkonnx-pace-{}", std::process::id()));
        let path = folder.join(FILE);
        let of = of_this_machine();
        let write = |of: &str, pace: f64| {
            let of = of.to_owned();
            assert!(store(&path, &Stored { of, pace }).is_ok());
        };
        write(&of, 1.25);
        assert_eq!(read(&path, &of), Some(1.25));
        for pace in [0.0, -1.0, 1e9] {
            write(&of, pace);
            assert_eq!(read(&path, &of), None, "{pace}");
        }
        write("another machine", 1.25);
        assert_eq!(read(&path, &of), None);
        assert!(std::fs::write(&path, b"{\"of\": 3").is_ok());
        assert_eq!(read(&path, &of), None);
        let _ = std::fs::remove_dir_all(folder);
    }
}
