//! Answers that the contract's types cannot say: a strategy made by hand, whose answers are the bytes of its options.

use scaleot_plugin_api::export::abi_stable::std_types::{RErr, ROk, RResult, RSlice, RVec};
use scaleot_plugin_api::export::{HostContext, RawStrategy, Reply};
use scaleot_plugin_api::{Method, StrategyEntry};
use std::ffi::c_void;

/// The same layout as [`RawStrategy`], whose fields only the contract may name.
#[repr(C)]
struct Mirror {
    object: *mut c_void,
    call: extern "C" fn(*mut c_void, u32, RSlice<'_, u8>, HostContext) -> Reply,
    drop: extern "C" fn(*mut c_void),
}

/// Answers by call; what is not named is answered by `null`.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Answers {
    estimate: Option<String>,
    substitute: Option<String>,
    select: Option<String>,
    compress: Option<String>,
    attach: Option<String>,
    step: Option<String>,
    /// Bytes of an error in place of every answer.
    error: Option<String>,
}

/// Only said of them: `create` below makes them.
struct Said;
impl scaleot_plugin_api::Strategy for Said {
    type Options = Answers;
    fn new(_: Answers) -> Result<Self, scaleot_plugin_api::PluginError> {
        Err(scaleot_plugin_api::PluginError::unsupported("made by hand"))
    }
    /// The one is so of the estimator, the other of the replacer.
    fn declares() -> Vec<scaleot_plugin_api::Declaration> {
        use scaleot_plugin_api::Trait::{EqualScores, IgnoresScores};
        [EqualScores, IgnoresScores].map(scaleot_plugin_api::Declaration::always).to_vec()
    }
}
impl scaleot_plugin_api::ImportanceEstimator for Said {
    fn estimate(
        &mut self,
        _: &mut scaleot_plugin_api::Host,
    ) -> Result<scaleot_plugin_api::ImportanceScores, scaleot_plugin_api::PluginError> {
        Err(scaleot_plugin_api::PluginError::unsupported("made by hand"))
    }
}

impl scaleot_plugin_api::Checkpoint for Said {}

/// The raw strategy of each kind.
pub fn entries() -> Vec<StrategyEntry> {
    use scaleot_plugin_api::StrategyKind::{Adapter, Compress, Importance, Replace};
    let kinds = [("estimator", Importance), ("replacer", Replace), ("compressor", Compress), ("adapter", Adapter)];
    let entry = |(name, kind): (&str, _)| {
        let mut entry = StrategyEntry::importance::<Said>(&format!("raw-{name}"), "Answers the bytes of its options.");
        entry.record.kind = kind;
        entry
    };
    kinds.into_iter().map(entry).collect()
}

/// Makes one by hand.
pub fn create(options: &[u8]) -> RResult<RawStrategy, RVec<u8>> {
    let Ok(answers) = serde_json::from_slice::<Answers>(options) else {
        return RErr(RVec::from(&b"not even an error"[..]));
    };
    let object = Box::into_raw(Box::new(answers)).cast();
    // SAFETY: the same fields in the same order, `repr(C)` both.
    ROk(unsafe { std::mem::transmute::<Mirror, RawStrategy>(Mirror { object, call, drop: dropped }) })
}

extern "C" fn call(object: *mut c_void, method: u32, _: RSlice<'_, u8>, _: HostContext) -> Reply {
    // SAFETY: made in `create`, alive until `dropped`.
    let answers = unsafe { &*object.cast::<Answers>() };
    if let Some(error) = &answers.error {
        return RErr(error.clone().into_bytes().into());
    }
    let answer = match Method::from_code(method) {
        Ok(Method::Estimate) => &answers.estimate,
        Ok(Method::Substitute) => &answers.substitute,
        Ok(Method::Select) => &answers.select,
        Ok(Method::Compress) => &answers.compress,
        Ok(Method::Attach) => &answers.attach,
        Ok(Method::Step) => &answers.step,
        _ => &None,
    };
    ROk(answer.clone().unwrap_or_else(|| "null".to_owned()).into_bytes().into())
}

extern "C" fn dropped(object: *mut c_void) {
    // SAFETY: made in `create`, dropped once.
    drop(unsafe { Box::from_raw(object.cast::<Answers>()) });
}
