//! Faults that any call can have, whatever its kind.

use scaleot_plugin_api::PluginError;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

/// A fault that ends the call, the process, or nothing; `Ok` where the call goes on.
pub fn commit(fault: &str) -> Result<(), PluginError> {
    match fault {
        "panic" => panic!("as it was told"),
        "segfault" => segfault(),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "overflow" => drop(black_box(deeper(0))),
        "loop" => loop {
            std::thread::sleep(Duration::from_millis(20));
        },
        // More than any machine can address, so that no system grants it.
        "allocate" => drop(black_box(vec![1_u8; 1 << 50])),
        "error" => return Err(PluginError::failed("nothing works today").with_help("try tomorrow")),
        "long-error" => return Err(PluginError::failed("x".repeat(10_000_000))),
        "escapes" => return Err(PluginError::failed("\u{1b}[2J\u{7}a\u{202e}b\nerror: all is well")),
        "prints" => {
            println!("{{\"noise\": 1}}");
            std::io::stdout().flush().unwrap_or_default();
        }
        _ => {}
    }
    Ok(())
}

/// Reads where nothing is.
pub fn segfault() {
    // SAFETY: none; that is the fault.
    black_box(unsafe { black_box(std::ptr::dangling::<u64>()).read_volatile() });
}

/// Without end, and too much on the stack for the compiler to make a loop of it.
#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 512]);
    deeper(depth + 1) + frame[(depth % 512) as usize]
}
