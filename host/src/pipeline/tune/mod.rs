//! Side: data owner. Takes: an emulator and (context, answer) pairs. Gives: the adapter delta. Plugin kind: adapter.

mod adamw;
mod schedule;

pub use adamw::{AdamW, AdamWOptions, Moments};
pub use schedule::Schedule;
