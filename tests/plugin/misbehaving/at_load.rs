//! Code that runs when the library is loaded, before anybody could look at what it says of itself.

use super::faults;

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    let file = std::env::var_os("MISBEHAVE_FILE").unwrap_or_default();
    match std::env::var("MISBEHAVE_AT_LOAD").as_deref() {
        Ok("segfault") => faults::segfault(),
        Ok("write") => std::fs::write(file, "was here").unwrap_or_default(),
        // As an editor or an update does it: a new file under the old name.
        Ok("replace") => {
            let _ = std::fs::remove_file(&file);
            std::fs::write(file, "no library any more").unwrap_or_default();
        }
        _ => {}
    }
}
