//! Progress on stderr: a bar on a terminal, a line every few seconds elsewhere, log lines above the bar.

use super::output::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scaleot_pipeline::progress::Progress;
use scaleot_store::escape::escape_to;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// The time between two lines where stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{prefix:<24} {bar:30} {pos}/{len} {per_sec} ETA {eta} {msg}";

/// Progress of stages on stderr.
pub struct Bars {
    mode: Mode,
    work: Option<Work>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Quiet,
    Plain,
    Terminal,
}

/// A piece of work under way.
struct Work {
    what: String,
    total: u64,
    began: Instant,
    /// The step that it began at: a resumed training does not start at 0.
    first: Option<u64>,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Bars {
    /// Bars if stderr is a terminal; nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Terminal,
            (false, false) => Mode::Plain,
        };
        Self { mode, work: None }
    }
}

impl Progress for Bars {
    fn begin(&mut self, what: &str, total: u64) {
        let what = escape_to(what, 60);
        let bar = (self.mode == Mode::Terminal).then(|| bar(&what, total));
        let now = Instant::now();
        self.work = Some(Work { what, total, began: now, first: None, last_line: now, bar });
    }

    fn at(&mut self, done: u64, note: &str) {
        let Some(work) = &mut self.work else { return };
        let first = *work.first.get_or_insert(done.saturating_sub(1));
        if let Some(bar) = &work.bar {
            if bar.position() == 0 && first > 0 {
                bar.set_position(first);
                bar.reset_eta();
            }
            bar.set_message(escape_to(note, 60));
            bar.set_position(done);
        } else if self.mode == Mode::Plain && work.last_line.elapsed() >= PLAIN_EVERY {
            work.last_line = Instant::now();
            say(&plain_line(work, done - first.min(done), done, note));
        }
    }

    fn end(&mut self, note: &str) {
        let Some(work) = self.work.take() else { return };
        if let Some(bar) = &work.bar {
            bar.finish_and_clear();
        }
        if self.mode != Mode::Quiet {
            let note = if note.is_empty() { String::new() } else { format!(": {}", escape_to(note, 200)) };
            say(&format!("{} ({:.1} s){note}", work.what, work.began.elapsed().as_secs_f64()));
        }
    }

    fn log(&mut self, message: &str) {
        if self.mode == Mode::Quiet {
            return;
        }
        let message = escape_to(message, 400);
        match self.work.as_ref().and_then(|work| work.bar.as_ref()) {
            Some(bar) => bar.println(message),
            None => say(&message),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // An error's sentence must not stand behind a bar.
        if let Some(bar) = self.work.take().and_then(|work| work.bar) {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn plain_line(work: &Work, since: u64, done: u64, note: &str) -> String {
    let seconds = work.began.elapsed().as_secs_f64();
    let rate = since as f64 / seconds.max(1e-9);
    let left = work.total.saturating_sub(done) as f64 / rate.max(1e-9);
    let eta = if rate > 0.0 { format!(", {left:.0} s left") } else { String::new() };
    format!("{} {done}/{} ({rate:.1}/s{eta}) {}", work.what, work.total, escape_to(note, 60)).trim_end().to_owned()
}
