//! The tool on a tiny crate of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::catalog::{Catalog, Key, Mutant, Package, sample};
use crate::places::{Form, find};
use crate::report::{Accepted, Entry, needless};
use crate::rewrite::{Mark, blame, rewrite};
use crate::runner::{Runner, Verdict};
use crate::workspace::Workspace;

const TINY: &str = r#"//! A crate that is small.

/// Whether `a` is below `b`.
pub fn below(a: u32, b: u32) -> bool {
    a < b
}

/// The sum of the even numbers below `n`, those of the list first.
pub fn evens(n: u32, list: &mut Vec<u32>) -> u32 {
    list.push(n);
    (0..n).rev().filter(|x| x % 2 == 0).sum()
}

/// Counts down.
pub fn down(mut n: u32) -> u32 {
    let mut steps = 0;
    while n > 0 {
        n -= 1;
        steps += 1;
    }
    steps
}

/// Nobody calls it.
pub fn alone(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("empty".to_owned());
    }
    Ok(())
}

/// Its return type has no default, and `-` is no operator of it.
pub fn joined(a: String, b: &str) -> std::num::NonZeroU8 {
    let joined = a + b;
    std::num::NonZeroU8::new(joined.len() as u8).expect("not empty")
}

const LIMIT: u32 = 3 + 4;

const fn limit() -> u32 {
    LIMIT + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_strict() {
        assert!(below(1, 2) && !below(2, 1) && !below(2, 2));
    }

    #[test]
    fn sums() {
        assert_eq!(evens(7, &mut Vec::new()), 12);
        assert_eq!(limit(), 8);
    }

    #[test]
    fn counts_down() {
        assert_eq!(down(3), 3);
        assert_eq!(joined("a".to_owned(), "b").get(), 2);
    }
}
"#;

/// A clone with one package, in a folder of its own.
fn tiny(name: &str) -> (PathBuf, Package) {
    let root = std::env::temp_dir().join(format!("zkonnx-mutants-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("tiny/src")).unwrap();
    let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"tiny\"]\n\n[workspace.package]\nversion = \"0.1.0\"\n",
    );
    write(
        "tiny/Cargo.toml",
        "[package]\nname = \"tiny\"\nversion.workspace = true\nedition = \"2024\"\n",
    );
    write(
        "Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"tiny\"\nversion = \"0.1.0\"\n",
    );
    write(
        "tiny/src/lib.rs",
        "#![forbid(unsafe_code)]\nmod inner;\npub use inner::*;\n",
    );
    write("tiny/src/inner.rs", TINY);
    let mut git = Command::new("git");
    git.args(["init", "-q"]).current_dir(&root);
    assert!(git.status().unwrap().success());
    let package = Package {
        name: "tiny".to_owned(),
        folder: "tiny".into(),
        sample: 1000,
        sources: vec!["src/inner.rs".into()],
    };
    (root, package)
}

fn shown(mutants: &[Mutant]) -> BTreeSet<String> {
    let both = |m: &Mutant| format!("{} => {}", m.key.original, m.key.mutated);
    mutants.iter().map(both).collect()
}

#[test]
fn every_mutant_of_a_crate_is_judged() {
    let (root, package) = tiny("judged");
    let mut catalog = Catalog::new(&root, &package).unwrap();
    let all = catalog.mutants.len();
    let workspace = Workspace::new(&root, &root.join("target"), &package).unwrap();
    let dropped = workspace.uncompilable(&catalog).unwrap();
    let mut index = 0..;
    let keeps = |i: usize| !dropped.contains(&i);
    catalog.mutants.retain(|_| index.next().is_some_and(keeps));
    // `a - b` of a String; a NonZeroU8 by default.
    assert_eq!(catalog.mutants.len(), all - 2);

    let numbered: Vec<(u32, &Mutant)> = (1..).zip(&catalog.mutants).collect();
    workspace.write(&catalog, &numbered).unwrap();
    let runner = Runner {
        folder: workspace.folder(),
        scratch: root.join("reached"),
        jobs: 2,
    };
    let (tests, failing) = runner.record(&workspace.build().unwrap()).unwrap();
    assert_eq!((tests.len(), failing.len()), (3, 0));
    let verdicts = Mutex::new(BTreeMap::new());
    let files: Vec<(u32, String)> = numbered
        .iter()
        .map(|(id, _)| (*id, String::new()))
        .collect();
    runner
        .judge(&files, &tests, |id, verdict, _| {
            verdicts.lock().unwrap().insert(id, verdict.clone());
            Ok(())
        })
        .unwrap();
    let verdicts = verdicts.into_inner().unwrap();
    let with = |wanted: &dyn Fn(&Verdict) -> bool| {
        let those = numbered.iter().filter(|(id, _)| wanted(&verdicts[id]));
        shown(&those.map(|(_, m)| (*m).clone()).collect::<Vec<_>>())
    };
    let killed = with(&|v| matches!(v, Verdict::Killed { timeout: false, .. }));
    for mutant in ["a < b => a <= b", "steps += 1; => steps -= 1;"] {
        assert!(killed.contains(mutant), "{killed:?}");
    }
    // Without the decrement there is no end.
    let late = with(&|v| matches!(v, Verdict::Killed { timeout: true, .. }));
    assert!(late.contains("n -= 1; => "), "{late:?}");
    // What is pushed and the order of a sum are not asked for.
    let survived = with(&|v| *v == Verdict::Survived);
    let order = "(0..n).rev().filter(|x| x % 2 == 0).sum()";
    assert!(survived.contains("list.push(n); => "), "{survived:?}");
    assert!(survived.contains(&format!("{order} => {}", order.replace(".rev()", ""))));
    let unreached = with(&|v| *v == Verdict::Unreached);
    assert!(unreached.contains("if text.is_empty() { => if false {"));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn places_are_where_code_runs() {
    let places = find(TINY).unwrap();
    let functions: BTreeSet<&str> = places.iter().map(|p| p.function.as_str()).collect();
    let expected = ["alone", "below", "down", "evens", "joined"];
    assert_eq!(functions, expected.into());
    let kinds: BTreeSet<&str> = places
        .iter()
        .flat_map(|p| &p.mutations)
        .map(|m| m.kind)
        .collect();
    let expected = [
        "condition",
        "iterator",
        "literal",
        "operator",
        "return",
        "statement",
    ];
    assert!(kinds.is_superset(&expected.into()), "{kinds:?}");
}

#[test]
fn places_keep_away_from_patterns_types_and_bindings() {
    let source =
        "fn f(a: [u8; 4]) { if let 1 = a[g::<5>()] && b { } match c { 2..=3 if d => {} } }";
    let places = find(source).unwrap();
    let texts: Vec<&str> = places.iter().map(|p| &source[p.range.clone()]).collect();
    assert_eq!(texts, ["", "d"]);
    assert_eq!(places[0].form, Form::Entry);
}

#[test]
fn switches_leave_the_original_when_they_are_off() {
    let source = "fn f(a: u8, b: u8) -> bool { a + 1 < b }";
    let places = find(source).unwrap();
    let mut ids = BTreeMap::new();
    for (p, place) in places.iter().enumerate() {
        for m in 0..place.mutations.len() {
            ids.insert((p, m), ids.len() as u32 + 1);
        }
    }
    let on = "crate::zkonnx_mutants::on";
    let expected = format!(
        "fn f(a: u8, b: u8) -> bool {{if {on}(1) {{ return true; }}if {on}(2) {{ return false; }} \
         (if {on}(3) {{ (a + 1) <= (b) }} else {{ ((if {on}(4) {{ (a) - (1) }} else {{ (a + \
         (if {on}(5) {{ 2 }} else if {on}(6) {{ 0 }} else {{ (1) }})) }}) < b) }}) }}"
    );
    assert_eq!(rewrite(source, &places, &ids).text, expected);
    assert_eq!(rewrite(source, &places, &BTreeMap::new()).text, source);
}

#[test]
fn errors_are_blamed_on_the_smallest_place() {
    let mark = |id, region: (usize, usize), own: Option<(usize, usize)>| Mark {
        id,
        region: region.0..region.1,
        own: own.map(|(from, to)| from..to),
    };
    let marks = [
        mark(1, (0, 100), Some((10, 20))),
        mark(2, (0, 100), Some((30, 40))),
        mark(3, (50, 70), Some((52, 54))),
    ];
    let at = |spans: &[(usize, usize)]| {
        let spans: Vec<_> = spans.iter().map(|&(from, to)| from..to).collect();
        blame(&marks, &spans)
    };
    assert_eq!(at(&[(12, 15)]), [1]);
    assert_eq!(at(&[(60, 61)]), [3]);
    // The original of the outer place: both of its mutants may be the cause.
    assert_eq!(at(&[(45, 50)]), [1, 2]);
    assert_eq!(at(&[(45, 80), (33, 35)]), [2]);
    assert!(at(&[(200, 201)]).is_empty());
    assert_eq!(at(&[(48, 72)]), [1, 2]);
    assert_eq!(at(&[(0, 200)]), [1, 2, 3]);
}

#[test]
fn samples_hold_some_of_every_file_and_do_not_move_with_lines() {
    let mutant = |file: &str, n: usize, line: usize| Mutant {
        key: Key {
            file: file.to_owned(),
            function: "f".to_owned(),
            original: format!("{n}"),
            mutated: String::new(),
        },
        ordinal: 0,
        kind: "literal",
        line,
        at: (n, 0),
    };
    let mutants = |line| -> Vec<Mutant> {
        let large = (0..100).map(|n| mutant("large", n, n + line));
        large.chain((0..6).map(|n| mutant("small", n, n))).collect()
    };
    let chosen = sample(&mutants(0), "seed", 20, 4);
    let of = |file: &str| chosen.iter().filter(|m| m.key.file == file).count();
    assert_eq!((of("large"), of("small")), (19, 4));
    let keys = |chosen: &[Mutant]| -> Vec<Key> { chosen.iter().map(|m| m.key.clone()).collect() };
    assert_eq!(keys(&chosen), keys(&sample(&mutants(50), "seed", 20, 4)));
    assert_ne!(keys(&chosen), keys(&sample(&mutants(0), "another", 20, 4)));
}

#[test]
fn accepted_mutants_are_needed_and_explained() {
    let accepted = |original: &str, because: &str| Accepted {
        file: "tiny/src/lib.rs".to_owned(),
        function: "f".to_owned(),
        original: original.to_owned(),
        mutated: "0".to_owned(),
        because: because.to_owned(),
    };
    let why = "It is the same as before.";
    let entry = |original: &str, verdict: &str| Entry {
        key: accepted(original, why).key(),
        ordinal: 0,
        line: 1,
        kind: "literal".to_owned(),
        verdict: verdict.to_owned(),
        test: None,
        cpu_s: 0.0,
    };
    let ran = [entry("lives", "survived"), entry("killed", "killed")];
    let known: BTreeSet<Key> = ["lives", "killed", "idle"]
        .map(|o| accepted(o, why).key())
        .into();
    let wrong = |list: &[Accepted]| needless(list, &known, &["tiny".to_owned()], &ran).len();
    assert_eq!(wrong(&[accepted("lives", why), accepted("idle", why)]), 0);
    assert_eq!(wrong(&[accepted("lives", "")]), 1);
    assert_eq!(wrong(&[accepted("killed", why)]), 1);
    assert_eq!(wrong(&[accepted("gone", why)]), 1);
    assert_eq!(wrong(&[accepted("lives", why), accepted("lives", why)]), 1);
    // Other packages are not asked.
    assert!(needless(&[accepted("gone", why)], &known, &["other".to_owned()], &[]).is_empty());
}

#[test]
fn the_committed_files_are_read() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config: crate::catalog::Config = crate::json(&here.join("mutants.json")).unwrap();
    let _: Vec<Accepted> = crate::json(&here.join("accepted.json")).unwrap();
    let total: usize = config.packages.iter().map(|package| package.sample).sum();
    assert!(total >= 400);
    let root = here.ancestors().nth(2).unwrap();
    for package in &config.packages {
        let catalog = Catalog::new(root, package).unwrap();
        assert!(catalog.mutants.len() > package.sample, "{}", package.name);
    }
}

/// Modules of tests beside the sources are not mutated, so nothing else writes them.
#[test]
fn copies_modules_of_tests_again() {
    let (root, package) = tiny("again");
    let package = Package {
        sources: vec!["src".into()],
        ..package
    };
    let names = ["src/inner/tests.rs", "src/tests/mod.rs"];
    for text in ["// one", "// another"] {
        for name in names {
            let path = root.join("tiny").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let workspace = Workspace::new(&root, &root.join("target"), &package).unwrap();
        let copied = names.map(|name| fs::read_to_string(workspace.folder().join(name)).unwrap());
        assert_eq!(copied, [text; 2]);
    }
    fs::remove_dir_all(root).unwrap();
}
