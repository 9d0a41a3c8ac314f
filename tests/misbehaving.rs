//! Plugins that do wrong, through the built program: every fault ends in a sentence that names plugin, digest, stage and call.
//!
//! Each table is one snapshot. Numbers in names are those of the list of bad inputs that the project keeps (59 to 72).

mod misbehaving {
    pub mod answers;
    pub mod cases;
    pub mod crashes;
    pub mod isolation;
    pub mod loading;
}
