//! The page that worker and watcher share: which plugin call is active, and whether the command came to its own end.
//!
//! Without a watcher there is no page, and every note is a look at an empty cell. The page holds atomics only, and the watcher
//! reads the names once the worker is gone. Names are cut to their places; what comes out is treated as foreign text.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use scaleot_store::escape::escape;

/// The plugin call that is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// The host, outside of any plugin call.
    Host,
    /// The plugin.
    Plugin,
    /// The host, answering a question of the plugin.
    Answer,
}

/// Text of at most `N` bytes.
struct Text<const N: usize> {
    length: AtomicU32,
    bytes: [AtomicU8; N],
}

impl<const N: usize> Text<N> {
    fn write(&self, text: &str) {
        let kept = text.as_bytes().iter().take(N);
        self.length.store(kept.len() as u32, Ordering::Relaxed);
        kept.zip(&self.bytes).for_each(|(byte, place)| place.store(*byte, Ordering::Relaxed));
    }

    fn read(&self) -> String {
        let length = self.length.load(Ordering::Relaxed) as usize;
        let bytes: Vec<u8> = self.bytes.iter().take(length).map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The shared page. All zeros is a page on which nothing happened.
#[repr(C)]
pub(super) struct Page {
    floor: AtomicU32,
    /// Grows whenever the floor changes.
    turn: AtomicU64,
    /// 0, or 1 + exit status once the command has come to its own end.
    concluded: AtomicU32,
    stage: Text<64>,
    used: Text<256>,
    source: Text<1024>,
    call: Text<64>,
}

static PAGE: OnceLock<&'static Page> = OnceLock::new();

/// The contents of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveCall {
    /// The call that was active last.
    pub floor: Floor,
    /// The stage, or nothing before the first one.
    pub stage: String,
    /// `plugin/strategy`, or a library's file while it is loaded.
    pub used: String,
    /// The source of the plugin's code.
    pub source: String,
    /// The call.
    pub call: String,
    /// The exit status with which the command ended by itself.
    pub concluded: Option<u8>,
}

impl Page {
    /// Makes this process the one that writes the page.
    pub(super) fn adopt(&'static self) {
        // Only a worker adopts, and only once.
        let _ = PAGE.set(self);
    }

    /// The floor, and the turn that it is.
    pub(super) fn turn(&self) -> (Floor, u64) {
        let turn = self.turn.load(Ordering::Acquire);
        let floor = match self.floor.load(Ordering::Acquire) {
            1 => Floor::Plugin,
            2 => Floor::Answer,
            _ => Floor::Host,
        };
        (floor, turn)
    }

    /// Everything, once the worker writes no more.
    pub(super) fn read(&self) -> ActiveCall {
        let concluded = self.concluded.load(Ordering::Acquire).checked_sub(1);
        ActiveCall {
            floor: self.turn().0,
            stage: escape(&self.stage.read()),
            used: escape(&self.used.read()),
            source: scaleot_store::escape::escape_to(&self.source.read(), 1024),
            call: escape(&self.call.read()),
            concluded: concluded.and_then(|code| u8::try_from(code).ok()),
        }
    }

    fn give(&self, floor: Floor) {
        self.floor.store(floor as u32, Ordering::Release);
        self.turn.fetch_add(1, Ordering::AcqRel);
    }
}

/// Gives the floor back when dropped.
#[must_use]
pub struct Turn(Option<(&'static Page, Floor)>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((page, before)) = self.0 {
            page.give(before);
        }
    }
}

/// A stage begins.
pub fn stage(name: &str) {
    if let Some(page) = PAGE.get() {
        page.stage.write(name);
    }
}

/// A plugin is called: its code runs until the turn is dropped.
pub fn call(used: &dyn std::fmt::Display, source: &dyn std::fmt::Display, call: &str) -> Turn {
    Turn(PAGE.get().map(|page| {
        page.used.write(&used.to_string());
        page.source.write(&source.to_string());
        page.call.write(call);
        page.give(Floor::Plugin);
        (*page, Floor::Host)
    }))
}

/// The host answers a question of the plugin until the turn is dropped.
pub fn answer() -> Turn {
    let active = PAGE.get().filter(|page| page.turn().0 == Floor::Plugin);
    Turn(active.map(|page| {
        page.give(Floor::Answer);
        (*page, Floor::Plugin)
    }))
}

/// The command has come to its own end; whatever happens now, its outcome is told already.
pub fn conclude(code: u8) {
    if let Some(page) = PAGE.get() {
        page.concluded.store(u32::from(code) + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> &'static Page {
        // SAFETY: all zeros is a valid page, as `Page` says.
        Box::leak(Box::new(unsafe { std::mem::zeroed() }))
    }

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let page = page();
        assert_eq!((page.turn(), page.read().concluded), ((Floor::Host, 0), None));
        page.stage.write("importance");
        page.used.write("a/b");
        page.call.write(&"x".repeat(100));
        page.give(Floor::Plugin);
        page.give(Floor::Answer);
        page.concluded.store(1, Ordering::Relaxed);
        let read = page.read();
        assert_eq!((read.stage.as_str(), read.used.as_str(), read.call.len()), ("importance", "a/b", 64));
        assert_eq!((page.turn(), read.concluded), ((Floor::Answer, 2), Some(0)));
    }

    #[test]
    fn a_name_that_was_overwritten_is_safe_to_print() {
        let page = page();
        page.used.write("a\u{1b}[31m");
        page.used.bytes[0].store(0xff, Ordering::Relaxed);
        page.used.length.store(u32::MAX, Ordering::Relaxed);
        assert!(page.read().used.starts_with("\u{fffd}\\u{1b}[31m"), "{}", page.read().used);
    }
}
