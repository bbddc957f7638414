//! Which module may import which: none that stands above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate, from the ground up.
const LAYERS: [&str; 20] = [
    "error",
    "math",
    "graph",
    "trees",
    "proto",
    "eval",
    "group",
    "rewrite",
    "operator",
    "ops",
    "vocabulary",
    "run",
    "tail",
    "report",
    "extension",
    "import",
    "passes",
    "input",
    "head",
    "quantize",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn imports_only_what_stands_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    files(&root, &mut sources);
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|path| !path.ends_with("lib.rs")) {
        let own = source.strip_prefix(&root).unwrap();
        let first = own.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        let own_place = place(module).unwrap_or_else(|| panic!("`{module}` is in no layer"));
        let text = fs::read_to_string(source).unwrap();
        let code: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for part in code.join("\n").split("crate::").skip(1) {
            let name: String = part
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if place(&name).is_none_or(|other| other > own_place) {
                wrong.push(format!("{} imports {name}", own.display()));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
