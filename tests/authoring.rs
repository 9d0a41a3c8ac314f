//! A plugin's way from an author to somebody else's run: written, packed, added, locked, loaded; and what is refused on the way.

#[path = "authoring/compatible.rs"]
mod compatible;
#[path = "authoring/hand_over.rs"]
mod hand_over;
#[path = "authoring/new.rs"]
mod new;
#[path = "authoring/transcript.rs"]
mod transcript;
#[path = "authoring/trust.rs"]
mod trust;
