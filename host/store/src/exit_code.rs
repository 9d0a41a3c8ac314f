//! The exit codes of the program, and the trait by which every error names its own.
//!
//! An exit code has one meaning, which the help says, and only the program turns it into a process status.

/// The meaning of the program's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// The work is done.
    Done = 0,
    /// The command line or the config is wrong.
    Usage = 2,
    /// An input artefact (model, data, bundle, delta) was refused.
    Refused = 3,
    /// A plugin was refused or failed.
    Plugin = 4,
    /// Disk, memory, permission, lock or device.
    Resources = 5,
    /// A loss, gradient, score or weight is not finite.
    Numeric = 6,
    /// Interrupted; the same command continues.
    Interrupted = 7,
    /// A fault of ours.
    Bug = 70,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that knows how the program must exit; every error enum of the runtime implements it.
pub trait HasExitCode: std::error::Error {
    /// The exit status that this error ends the program with.
    fn exit_code(&self) -> ExitCode;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_have_their_published_numbers() {
        use ExitCode::*;
        let all = [Done, Usage, Refused, Plugin, Resources, Numeric, Interrupted, Bug];
        assert_eq!(all.map(|code| code as u8), [0, 2, 3, 4, 5, 6, 7, 70]);
    }
}
