//! The methods of strategies, each with its number on the wire and its name in messages.

use crate::error::PluginError;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Methods by number. Numbers are part of the contract: never reused, only added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Method { $($(#[$doc])* $name = $code,)* }

        impl Method {
            /// The trait's own name for it, as messages say it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The method of a number.
            ///
            /// # Errors
            /// `Unsupported` for a number that this version of the contract does not have.
            pub fn from_code(code: u32) -> Result<Self, PluginError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    _ => Err(PluginError::unsupported(format!("this plugin has no method {code}"))
                        .with_help("the host is newer than the plugin: rebuild the plugin")),
                }
            }
        }
    };
}

methods! {
    /// [`ImportanceEstimator::estimate`](crate::ImportanceEstimator::estimate).
    Estimate = 0, "estimate";
    /// [`LayerReplacer::substitute`](crate::LayerReplacer::substitute).
    Substitute = 1, "substitute";
    /// [`LayerReplacer::select`](crate::LayerReplacer::select).
    Select = 2, "select";
    /// [`LayerReplacer::objective`](crate::LayerReplacer::objective).
    Objective = 3, "objective";
    /// [`Compressor::compress`](crate::Compressor::compress).
    Compress = 4, "compress";
    /// [`Adapter::attach`](crate::Adapter::attach).
    Attach = 5, "attach";
    /// [`Adapter::step`](crate::Adapter::step).
    Step = 6, "step";
    /// [`Checkpoint::save`](crate::Checkpoint::save).
    Save = 7, "save";
    /// [`Checkpoint::restore`](crate::Checkpoint::restore).
    Restore = 8, "restore";
    /// [`LayerReplacer::prepare`](crate::LayerReplacer::prepare).
    Prepare = 9, "prepare";
}
