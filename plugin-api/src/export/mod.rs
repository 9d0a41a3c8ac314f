//! The boundary itself: root module, handshake, panic fence, and the table by which a plugin reaches the host.
//!
//! Only this module names `abi_stable`; the host's half is `host_table.rs`. The layouts here stay as they are within a major
//! version: what is added gets a new number or name (`TensorOp`, `Method`, requests); everything structured travels as JSON.
//! A panic must not cross `extern "C"` (it would end the process), so every entry catches it on its own side.

// abi_stable's derives name their references `*_Ref`.
#![allow(non_camel_case_types)]

use crate::error::{ErrorCode, PluginError};
use crate::method::Method;
use crate::services::carrier::{HostServices, MAX_OUTPUTS, OpArguments, TensorOp};
use crate::strategy::{AnyStrategy, PluginRecord, StrategyEntry, reply};
use crate::tensor::{DlTensor, Handle, ReleaseTensor};
use crate::version::{API_MAJOR, API_MINOR};
use abi_stable::StableAbi;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RErr, ROk, RResult, RSlice, RSliceMut, RStr, RString, RVec};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

mod host_table;
#[cfg(test)]
mod tests;

pub use crate::version::API_VERSION;
pub use abi_stable;

/// [`API_VERSION`] in the form that the loader's header check takes.
const API_VERSION_STRINGS: VersionStrings = VersionStrings::new(API_VERSION);

/// Bytes across the boundary: an answer, or a [`PluginError`] as JSON.
pub type Reply = RResult<RVec<u8>, RVec<u8>>;

/// The exports of a plugin library.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModule_Ref)))]
#[sabi(missing_field(panic))]
pub struct PluginModule {
    /// First number of the [`API_VERSION`] that the plugin was built with.
    pub api_major: u32,
    /// Middle number of the [`API_VERSION`] that the plugin was built with.
    pub api_minor: u32,
    /// A [`PluginRecord`] as JSON.
    pub describe: extern "C" fn() -> RString,
    /// Makes a strategy by name from its options as JSON.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(RStr<'_>, RSlice<'_, u8>) -> RResult<RawStrategy, RVec<u8>>,
}

impl abi_stable::library::RootModule for PluginModule_Ref {
    abi_stable::declare_root_module_statics! {PluginModule_Ref}
    const BASE_NAME: &'static str = "scaleot_plugin";
    const NAME: &'static str = "scaleot_plugin";
    const VERSION_STRINGS: VersionStrings = API_VERSION_STRINGS;
}

/// A strategy on the plugin's side of the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawStrategy {
    object: *mut c_void,
    call: extern "C" fn(*mut c_void, u32, RSlice<'_, u8>, HostContext) -> Reply,
    drop: extern "C" fn(*mut c_void),
}

impl RawStrategy {
    /// Calls a method; `request` and the answer are JSON, except the state of `Save` and `Restore`.
    /// A panic inside comes back as an error.
    ///
    /// # Errors
    /// Those of the strategy, or `Panicked`.
    pub fn call(
        &mut self,
        method: Method,
        request: &[u8],
        services: &mut dyn HostServices,
    ) -> Result<Vec<u8>, PluginError> {
        self.call_code(method as u32, request, services)
    }

    fn call_code(
        &mut self,
        method: u32,
        request: &[u8],
        mut services: &mut dyn HostServices,
    ) -> Result<Vec<u8>, PluginError> {
        match (self.call)(self.object, method, request.into(), host_table::context(&mut services)) {
            ROk(answer) => Ok(answer.into_vec()),
            RErr(error) => Err(read_error(&error)),
        }
    }
}

impl Drop for RawStrategy {
    fn drop(&mut self) {
        (self.drop)(self.object);
    }
}

/// The way from a plugin to the host during one call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct HostContext {
    services: *mut c_void,
    table: HostTable_Ref,
}

/// The host's services, as functions.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostTable_Ref)))]
#[sabi(missing_field(panic))]
pub struct HostTable {
    /// Runs a tensor operation by number; returns how many handles it wrote.
    pub tensor_op: extern "C" fn(
        *mut c_void,
        u32,
        RSlice<'_, u64>,
        RSlice<'_, i64>,
        RSlice<'_, f64>,
        RSliceMut<'_, u64>,
    ) -> RResult<usize, RVec<u8>>,
    /// A new tensor of these values and sizes.
    pub tensor_from_f32: extern "C" fn(*mut c_void, RSlice<'_, f32>, RSlice<'_, i64>) -> RResult<u64, RVec<u8>>,
    /// Writes a DLPack view of a tensor.
    pub tensor_view: extern "C" fn(*mut c_void, u64, *mut c_void) -> RResult<(), RVec<u8>>,
    /// The receiver of dropped handles; outlives the call.
    pub releaser: extern "C" fn(*mut c_void) -> RawReleaser,
    /// Answers a question by name, in JSON.
    #[sabi(last_prefix_field)]
    pub request: extern "C" fn(*mut c_void, RStr<'_>, RSlice<'_, u8>) -> Reply,
}

/// A counted reference to the host's list of released handles.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawReleaser {
    owner: *const c_void,
    release: extern "C" fn(*const c_void, u64),
    drop: extern "C" fn(*const c_void),
}

impl ReleaseTensor for RawReleaser {
    fn release(&self, handle: Handle) {
        (self.release)(self.owner, handle);
    }
}

impl Drop for RawReleaser {
    fn drop(&mut self) {
        (self.drop)(self.owner);
    }
}

fn write_error(error: &PluginError) -> RVec<u8> {
    serde_json::to_vec(error).unwrap_or_default().into()
}

/// Reads an error that crossed the boundary.
pub fn read_error(bytes: &[u8]) -> PluginError {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| PluginError::failed("the plugin failed, and its error message cannot be read"))
}

/// Runs `work`; `Err` carries the text of a panic.
fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned();
        // A payload whose destructor panics must not undo the fence.
        std::mem::forget(payload);
        text
    })
}

/// Runs a plugin's `work`; a panic becomes an error that carries the panic's text.
fn fence<R>(work: impl FnOnce() -> Result<R, PluginError>) -> RResult<R, RVec<u8>> {
    let panicked = |text| Err(PluginError::new(ErrorCode::Panicked, format!("panicked: {text}")));
    match caught(work).unwrap_or_else(panicked) {
        Ok(value) => ROk(value),
        Err(error) => RErr(write_error(&error)),
    }
}

struct BoundServices {
    context: HostContext,
    releaser: Option<Rc<dyn ReleaseTensor>>,
}

impl HostServices for BoundServices {
    fn tensor_op(
        &mut self,
        op: TensorOp,
        inputs: &[Handle],
        arguments: OpArguments<'_>,
        outputs: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError> {
        let run = self.context.table.tensor_op();
        let outputs = RSliceMut::from_mut_slice(outputs.as_mut_slice());
        let (ints, floats) = (arguments.ints.into(), arguments.floats.into());
        run(self.context.services, op as u32, inputs.into(), ints, floats, outputs)
            .into_result()
            .map_err(|error| read_error(&error))
    }

    fn tensor_from_f32(&mut self, values: &[f32], shape: &[i64]) -> Result<Handle, PluginError> {
        let make = self.context.table.tensor_from_f32();
        make(self.context.services, values.into(), shape.into()).into_result().map_err(|error| read_error(&error))
    }

    fn tensor_view(&mut self, handle: Handle) -> Result<DlTensor, PluginError> {
        let mut view = std::mem::MaybeUninit::<DlTensor>::uninit();
        let look = self.context.table.tensor_view();
        let done = look(self.context.services, handle, view.as_mut_ptr().cast()).into_result();
        done.map_err(|error| read_error(&error))?;
        // SAFETY: the host wrote the view before it answered without an error.
        Ok(unsafe { view.assume_init() })
    }

    fn request(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError> {
        let ask = self.context.table.request();
        match ask(self.context.services, name.into(), question.into()) {
            ROk(answer) => Ok(answer.into_vec()),
            RErr(error) => Err(read_error(&error)),
        }
    }

    fn releaser(&self) -> Rc<dyn ReleaseTensor> {
        match &self.releaser {
            Some(releaser) => Rc::clone(releaser),
            None => Rc::new((self.context.table.releaser())(self.context.services)),
        }
    }
}

/// The plugin's entry for every method of every strategy.
extern "C" fn strategy_call(object: *mut c_void, method: u32, request: RSlice<'_, u8>, context: HostContext) -> Reply {
    fence(|| {
        // SAFETY: `object` is the box made in `create_strategy`, alive until `strategy_drop`.
        let strategy = unsafe { &mut *object.cast::<AnyStrategy>() };
        let mut services = BoundServices { context, releaser: None };
        services.releaser = Some(services.releaser());
        let method = Method::from_code(method)?;
        reply(strategy, method, request.as_slice(), &mut services).map(RVec::from)
    })
}

extern "C" fn strategy_drop(object: *mut c_void) {
    // SAFETY: called once, by the only `RawStrategy` that holds this box.
    let boxed = unsafe { Box::from_raw(object.cast::<AnyStrategy>()) };
    // A destructor that panics loses its plugin's memory, not the host.
    drop(caught(move || drop(boxed)));
}

/// The record of a plugin as JSON; empty when it cannot be made. Called by `export_plugin!`.
#[must_use]
pub fn describe_plugin(record: impl FnOnce() -> PluginRecord) -> RString {
    let text = caught(record).ok().and_then(|record| serde_json::to_string(&record).ok());
    text.unwrap_or_default().into()
}

/// Makes a strategy by name. Called by `export_plugin!`.
pub fn create_strategy(
    entries: fn() -> &'static [StrategyEntry],
    name: RStr<'_>,
    options: RSlice<'_, u8>,
) -> RResult<RawStrategy, RVec<u8>> {
    fence(|| {
        // Inside the fence: the entries are made on first use, and a schema may panic.
        let entries = entries();
        let entry = entries.iter().find(|entry| entry.record.name == name.as_str()).ok_or_else(|| {
            let known: Vec<_> = entries.iter().map(|entry| entry.record.name.as_str()).collect();
            PluginError::unsupported(format!(
                "no strategy is named {:?}; there are {}",
                name.as_str(),
                known.join(", ")
            ))
        })?;
        let strategy = (entry.create)(options.as_slice())?;
        Ok(RawStrategy { object: Box::into_raw(Box::new(strategy)).cast(), call: strategy_call, drop: strategy_drop })
    })
}

/// The version numbers that `export_plugin!` puts into the root module.
#[must_use]
pub const fn api_version() -> (u32, u32) {
    (API_MAJOR, API_MINOR)
}

/// A plugin that is linked into the program; `inventory` collects them.
pub struct BuiltIn {
    /// Its root module, the same as a library would export.
    pub module: fn() -> PluginModule_Ref,
}

inventory::collect!(BuiltIn);

/// Exports a plugin: root module, handshake and panic fence. `built_in` after the name links it into the program instead.
///
/// ```rust,standalone_crate
/// use scaleot_plugin_api::*;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema, Default)]
/// #[serde(deny_unknown_fields, default)]
/// pub struct NoOptions {}
///
/// pub struct Drop;
/// impl Strategy for Drop {
///     type Options = NoOptions;
///     fn new(_: NoOptions) -> Result<Self, PluginError> { Ok(Drop) }
/// }
/// impl LayerReplacer for Drop {
///     fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
///         Ok(Substitute::frozen(Module::Identity))
///     }
/// }
/// impl Checkpoint for Drop {}
///
/// export_plugin! {
///     name: "example",
///     about: "One strategy: nothing stands in for a layer.",
///     strategies: { "drop": replace Drop, "Replaces a layer by the identity." }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_plugin {
    (@entries $($name:literal : $kind:ident $type:ty, $about:literal);* $(;)?) => {
        fn scaleot_strategies() -> &'static [$crate::StrategyEntry] {
            static ENTRIES: ::std::sync::OnceLock<Vec<$crate::StrategyEntry>> = ::std::sync::OnceLock::new();
            ENTRIES.get_or_init(|| vec![$($crate::StrategyEntry::$kind::<$type>($name, $about)),*])
        }
    };
    (@module $name:literal, $about:literal) => {
        extern "C" fn scaleot_describe() -> $crate::export::abi_stable::std_types::RString {
            $crate::export::describe_plugin(|| $crate::PluginRecord::new(
                $name, env!("CARGO_PKG_VERSION"), $about, scaleot_strategies(),
            ))
        }
        extern "C" fn scaleot_create(
            name: $crate::export::abi_stable::std_types::RStr<'_>,
            options: $crate::export::abi_stable::std_types::RSlice<'_, u8>,
        ) -> $crate::export::abi_stable::std_types::RResult<
            $crate::export::RawStrategy, $crate::export::abi_stable::std_types::RVec<u8>,
        > {
            $crate::export::create_strategy(scaleot_strategies, name, options)
        }
        /// The root module: what the host finds in this plugin.
        pub fn scaleot_root_module() -> $crate::export::PluginModule_Ref {
            use $crate::export::abi_stable::prefix_type::PrefixTypeTrait;
            let (api_major, api_minor) = $crate::export::api_version();
            $crate::export::PluginModule {
                api_major, api_minor, describe: scaleot_describe, create: scaleot_create,
            }.leak_into_prefix()
        }
    };
    (name: $name:literal, about: $about:literal, built_in, strategies: { $($entries:tt)* }) => {
        $crate::export_plugin!(@entries $($entries)*);
        $crate::export_plugin!(@module $name, $about);
        $crate::export::inventory::submit! { $crate::export::BuiltIn { module: scaleot_root_module } }
    };
    (name: $name:literal, about: $about:literal, strategies: { $($entries:tt)* }) => {
        $crate::export_plugin!(@entries $($entries)*);
        $crate::export_plugin!(@module $name, $about);
        // What abi_stable's `export_root_module` writes, by a path that needs no dependency on abi_stable in the plugin.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static _1as_0lib_1header_0root_bmodule_bloader: $crate::export::abi_stable::library::LibHeader = {
            extern "C" fn erased() -> $crate::export::abi_stable::library::RootModuleResult {
                $crate::export::abi_stable::library::__call_root_module_loader(scaleot_root_module)
            }
            // SAFETY: `erased` returns the module type that is named here.
            unsafe {
                $crate::export::abi_stable::library::LibHeader::from_constructor::<$crate::export::PluginModule_Ref>(
                    erased,
                    $crate::export::abi_stable::library::CheckTypeLayout::Yes,
                )
            }
        };
    };
}

pub use inventory;
