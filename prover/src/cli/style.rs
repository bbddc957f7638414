//! Colour for people, and none for anybody else.

use std::io::IsTerminal;

/// Whether to use colour on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style(bool);

impl Style {
    /// Colour on stdout: only on a terminal, without `NO_COLOR`, and not in JSON.
    pub(crate) fn of_stdout(json: bool) -> Self {
        Self(!json && wanted() && std::io::stdout().is_terminal())
    }

    /// Colour on stderr.
    pub(crate) fn of_stderr() -> Self {
        Self(wanted() && std::io::stderr().is_terminal())
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Less important.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Good news.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    /// Bad news.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

/// The convention of no-color.org, and terminals that know no colour.
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text of others, such as a name in a model, in one line that does nothing to a terminal: controls, and what reorders
/// text, are written as escapes.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(escaped).collect()
}

/// The same with its lines as they are.
pub(crate) fn plain_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(plain).collect();
    lines.join("\n")
}

fn escaped(c: char) -> String {
    let reorders =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || reorders {
        c.escape_unicode().to_string()
    } else {
        c.to_string()
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// CPU seconds for people.
pub(crate) fn seconds(value: f64) -> String {
    if value < 0.0995 {
        format!("{:.1} ms", value * 1e3)
    } else {
        format!("{value:.2} s")
    }
}

/// Rows of cells in columns that are as wide as their widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_cells_of_any_width() {
        let row = |cells: &[&str]| {
            cells
                .iter()
                .map(|cell| (*cell).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            table(&[row(&["a", "bb"]), row(&["ccé", ""])]),
            "a    bb\nccé\n"
        );
    }

    #[test]
    fn rejects_names_that_speak_to_the_terminal() {
        assert_eq!(
            plain("a\nb\x1b[2J\u{202e}é"),
            "a\\u{a}b\\u{1b}[2J\\u{202e}é"
        );
        assert_eq!(plain_lines("a\nb\r"), "a\nb\\u{d}");
    }

    #[test]
    fn accepts_all_magnitudes() {
        assert_eq!(
            [bytes(9_999), bytes(18_500), bytes(52_000_000)],
            ["9999 B", "18.5 kB", "52.0 MB"]
        );
        assert_eq!([seconds(0.0312), seconds(0.5)], ["31.2 ms", "0.50 s"]);
    }
}
