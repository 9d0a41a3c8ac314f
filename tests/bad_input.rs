//! Every bad input is refused by name: the exit status, the exact message, and a run folder that is as it was.
//!
//! Each table is one snapshot, so that a changed message is a reviewed change. Numbers in names are those of the list of
//! bad inputs that the project keeps.

mod bad_input {
    pub mod bundle_and_return;
    pub mod command_line;
    pub mod config;
    pub mod meaningless;
    pub mod model;
    pub mod safetensors;
    pub mod table;
}
