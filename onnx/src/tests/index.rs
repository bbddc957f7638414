//! The index of operators: which file declares which.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::ops::FILES;

/// The text of `ops/mod.rs` for the files that are there.
fn index() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut modules: Vec<(String, bool)> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "mod" {
            let text = fs::read_to_string(&path).unwrap();
            modules.push((name, text.contains("const OPERATORS: &[Operator]")));
        }
    }
    modules.sort();
    let mut text = String::from(
        "//! One file for each ONNX operator, or family of operators: its declaration, and what makes integers of a node.\n\
         //!\n\
         //! Made by `cargo test -p zkonnx-onnx write_index -- --ignored` from the files of this folder.\n\n",
    );
    for (name, _) in &modules {
        writeln!(text, "pub(crate) mod {name};").unwrap();
    }
    text += "\nuse crate::operator::Operator;\n\n/// The declarations, by file.\n\
             pub(crate) const FILES: &[(&str, &[Operator])] = &[\n";
    for (name, _) in modules.iter().filter(|(_, declares)| *declares) {
        writeln!(text, "    (\"{name}\", {name}::OPERATORS),").unwrap();
    }
    text + "];\n"
}

#[test]
fn lists_the_files_that_are_there() {
    assert_eq!(
        include_str!("../ops/mod.rs"),
        index(),
        "run `cargo test -p zkonnx-onnx write_index -- --ignored`"
    );
}

#[test]
#[ignore = "it writes ops/mod.rs"]
fn write_index() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops/mod.rs");
    fs::write(file, index()).unwrap();
}

#[test]
fn declares_each_operator_once() {
    let mut known = HashMap::new();
    for (file, operators) in FILES {
        for operator in *operators {
            let identity = (operator.domain, operator.name);
            if let Some(other) = known.insert(identity, file) {
                panic!("{identity:?} is declared in {other} and in {file}");
            }
        }
    }
    assert!(known.len() > 200, "{}", known.len());
}
