//! Whole models: what they become, and what is refused.

mod build;
mod edges;
mod fold;
mod groups;
mod hostile;
mod identity;
mod kernels;
mod lookup;
mod outputs;
mod tail;
mod vocabulary;

/// Floats end in the importer: nothing below it may hold one.
#[test]
fn accepts_no_floats_outside_the_importer() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.join("program"), root.join("ops"), root.join("lower")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may compare with the float unit; comments may speak of it.
            let code = text.split("#[cfg(test)]").next().unwrap();
            for line in code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                for word in ["f32", "f64"] {
                    let float = line
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .any(|token| token == word);
                    assert!(!float, "{}: {line}", path.display());
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "the sources were not found");
}
