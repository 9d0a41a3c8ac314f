//! The spin of a waiting thread before it sleeps: brief, so that a busy neighbour does not stall the program.
//!
//! libtorch's threads are libgomp's. At the end of every parallel loop each waits for the others, and by default looks 300,000
//! times before it sleeps: about 3 ms. Where another process has one of the cores, those that look take the time of the one that
//! all wait for, thousands of times a second.
//!
//! libgomp reads its variables in its constructor, before `main`. The loader calls a program's pre-initialisers before all
//! constructors, with the array of variables that the C library is about to take over. That array cannot grow, so one that no
//! constructor asks for gives its place to ours until `main` puts it back. Nothing is started anew, and nothing is left for
//! children or plugins to see.

use libc::{c_char, c_int};
use scaleot_store::escape::escape;
use serde::Serialize;
use std::ffi::CStr;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Looks before a thread sleeps, and the variable that says so.
const SPIN_COUNT: u32 = 1000;
const SPIN: &CStr = c"GOMP_SPINCOUNT=1000";

/// Variables by which a user chooses; the first wins over the second.
const USERS: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];
/// Variables that lend their place: a shell's and a login's, of no meaning to a library that is being loaded.
const LENDERS: [&str; 10] = ["_", "OLDPWD", "SHLVL", "PWD", "LOGNAME", "USER", "HOSTNAME", "SHELL", "HOME", "PATH"];

/// The variable whose place is taken, `NAME=value`.
static LENT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// The way in which threads wait, and who chose it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "chosen_by", rename_all = "lowercase")]
pub enum Wait {
    Scaleot {
        spin_count: u32,
    },
    /// The user, by a variable.
    User {
        variable: &'static str,
        value: String,
    },
    /// No variable could lend its place.
    Libgomp,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scaleot { spin_count } => {
                write!(
                    f,
                    "one that waits spins {spin_count} times, then sleeps (scaleot's choice; {} of your own wins)",
                    USERS.join(" or ")
                )
            }
            Self::User { variable, value } => {
                write!(f, "{variable}={} of your environment says how they wait", escape(value))
            }
            Self::Libgomp => {
                f.write_str("they wait as libgomp has it, since the environment is empty; set GOMP_SPINCOUNT=1000")
            }
        }
    }
}

type PreInitialiser = extern "C" fn(c_int, *const *const c_char, *mut *mut c_char);

#[used]
#[unsafe(link_section = ".preinit_array")]
static BEFORE_CONSTRUCTORS: PreInitialiser = take_place;

/// Runs before the C library is initialised, so that nothing is allocated here and no environment asked.
extern "C" fn take_place(_: c_int, _: *const *const c_char, variables: *mut *mut c_char) {
    // SAFETY: the loader passes the array that the system put on the stack, which ends with a null pointer; nobody else reads yet.
    unsafe {
        if USERS.iter().any(|name| find(variables, name).is_some()) {
            return;
        }
        if let Some(place) = LENDERS.iter().find_map(|name| find(variables, name)) {
            LENT.store(place.read(), Ordering::Relaxed);
            place.write(SPIN.as_ptr().cast_mut());
        }
    }
}

/// Puts the variable that lent its place back. Call first in `main`, before other threads exist.
pub fn give_place_back() {
    unsafe extern "C" {
        static environ: *mut *mut c_char;
    }
    let lent = LENT.load(Ordering::Relaxed);
    if lent.is_null() {
        return;
    }
    // SAFETY: the C library's own array, and no other thread that could read it.
    unsafe {
        let mut place = environ;
        while !place.is_null() && !place.read().is_null() {
            if ptr::eq(place.read(), SPIN.as_ptr()) {
                place.write(lent);
                return;
            }
            place = place.add(1);
        }
    }
}

/// The place of a variable in an array that ends with a null pointer.
unsafe fn find(mut place: *mut *mut c_char, name: &str) -> Option<*mut *mut c_char> {
    // SAFETY: the caller vouches for the array and its strings.
    unsafe {
        while !place.read().is_null() {
            let rest = CStr::from_ptr(place.read()).to_bytes().strip_prefix(name.as_bytes());
            if rest.is_some_and(|rest| rest.starts_with(b"=")) {
                return Some(place);
            }
            place = place.add(1);
        }
    }
    None
}

/// The way of waiting that is in force.
pub fn wait() -> Wait {
    let users = USERS.iter().find_map(|name| Some((*name, std::env::var_os(name)?)));
    match users {
        Some((variable, value)) => Wait::User { variable, value: value.to_string_lossy().into_owned() },
        None if LENT.load(Ordering::Relaxed).is_null() => Wait::Libgomp,
        None => Wait::Scaleot { spin_count: SPIN_COUNT },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_says_the_number() {
        assert_eq!(SPIN.to_str().unwrap(), format!("{}={SPIN_COUNT}", USERS[0]));
    }
}
