//! Floats end where an ONNX file has become a program: no operator, program or equation may hold one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

#[test]
fn holds_none_below_the_planner() {
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
