//! What is going on, on stderr, when a person watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that shows the current step. Nothing is drawn unless stderr is a terminal, nor for steps that take less than
/// a moment.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Progress on stderr.
    pub fn stderr() -> Self {
        // indicatif draws nothing if the target is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:>4}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Progress that nobody sees.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Says what is being done from now on.
    pub fn step(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
        self.0.enable_steady_tick(Duration::from_millis(120));
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}
