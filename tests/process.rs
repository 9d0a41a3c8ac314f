//! The process itself: its threads, what it prints and where, paths that are no text, and surroundings that lack something.

mod process {
    pub mod json;
    pub mod paths;
    pub mod surroundings;
    pub mod threads;
}
