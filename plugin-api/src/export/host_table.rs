//! The host's half of the boundary: a table of functions over any [`HostServices`].
//!
//! A panic in here is the host's own fault, and says so: it reaches the plugin as `Host`, never as `Panicked`.

use super::{HostContext, HostTable, HostTable_Ref, RawReleaser, Reply, caught, write_error};
use crate::error::PluginError;
use crate::services::carrier::{HostServices, MAX_OUTPUTS, OpArguments, TensorOp};
use crate::tensor::{DlTensor, Handle, ReleaseTensor};
use abi_stable::std_types::{RErr, ROk, RResult, RSlice, RSliceMut, RStr, RVec};
use std::ffi::c_void;
use std::rc::Rc;

/// The context of one call.
pub(super) fn context(services: &mut &mut dyn HostServices) -> HostContext {
    HostContext { services: std::ptr::from_mut(services).cast(), table: HOST_TABLE.0 }
}

fn fence<R>(work: impl FnOnce() -> Result<R, PluginError>) -> RResult<R, RVec<u8>> {
    match caught(work).unwrap_or_else(|text| Err(PluginError::host(format!("the host panicked: {text}")))) {
        Ok(value) => ROk(value),
        Err(error) => RErr(write_error(&error)),
    }
}

struct StaticTable(HostTable_Ref);

static HOST_TABLE: StaticTable = StaticTable({
    const TABLE: &abi_stable::prefix_type::WithMetadata<HostTable> =
        &abi_stable::prefix_type::WithMetadata::new(HostTable {
            tensor_op: host_tensor_op,
            tensor_from_f32: host_tensor_from_f32,
            tensor_view: host_tensor_view,
            releaser: host_releaser,
            request: host_request,
        });
    HostTable_Ref(TABLE.static_as_prefix())
});

// SAFETY: the table holds function pointers only, and is never written.
unsafe impl Sync for StaticTable {}

/// # Safety
/// `services` must be the pointer that [`RawStrategy::call`] made, during that call.
unsafe fn services<'a>(services: *mut c_void) -> &'a mut dyn HostServices {
    // SAFETY: by the caller's promise it points at a live `&mut dyn HostServices` that nobody else uses.
    unsafe { &mut **services.cast::<&mut dyn HostServices>() }
}

extern "C" fn host_tensor_op(
    context: *mut c_void,
    code: u32,
    inputs: RSlice<'_, u64>,
    ints: RSlice<'_, i64>,
    floats: RSlice<'_, f64>,
    mut outputs: RSliceMut<'_, u64>,
) -> RResult<usize, RVec<u8>> {
    fence(|| {
        let op = TensorOp::from_code(code).ok_or_else(|| {
            PluginError::unsupported(format!("this host has no tensor operation {code}"))
                .with_help("the plugin was built for a newer host")
        })?;
        let outputs: &mut [Handle; MAX_OUTPUTS] = outputs
            .as_mut_slice()
            .try_into()
            .map_err(|_| PluginError::host(format!("a tensor operation needs room for {MAX_OUTPUTS} handles")))?;
        let arguments = OpArguments { ints: ints.as_slice(), floats: floats.as_slice() };
        // SAFETY: the plugin hands back the context of the call that it is in.
        unsafe { services(context) }.tensor_op(op, inputs.as_slice(), arguments, outputs)
    })
}

extern "C" fn host_tensor_from_f32(
    context: *mut c_void,
    values: RSlice<'_, f32>,
    shape: RSlice<'_, i64>,
) -> RResult<u64, RVec<u8>> {
    // SAFETY: as in `host_tensor_op`.
    fence(|| unsafe { services(context) }.tensor_from_f32(values.as_slice(), shape.as_slice()))
}

extern "C" fn host_tensor_view(context: *mut c_void, handle: u64, out: *mut c_void) -> RResult<(), RVec<u8>> {
    fence(|| {
        // SAFETY: as in `host_tensor_op`.
        let view = unsafe { services(context) }.tensor_view(handle)?;
        // SAFETY: the caller passes room for one `DlTensor`.
        unsafe { out.cast::<DlTensor>().write(view) };
        Ok(())
    })
}

extern "C" fn host_request(context: *mut c_void, name: RStr<'_>, question: RSlice<'_, u8>) -> Reply {
    // SAFETY: as in `host_tensor_op`.
    fence(|| Ok(unsafe { services(context) }.request(name.as_str(), question.as_slice())?.into()))
}

extern "C" fn host_releaser(context: *mut c_void) -> RawReleaser {
    // SAFETY: as in `host_tensor_op`.
    let owner: Rc<dyn ReleaseTensor> = unsafe { services(context) }.releaser();
    RawReleaser {
        owner: Box::into_raw(Box::new(owner)).cast_const().cast(),
        release: releaser_release,
        drop: releaser_drop,
    }
}

extern "C" fn releaser_release(owner: *const c_void, handle: u64) {
    // SAFETY: `owner` is the box made in `host_releaser`, alive until `releaser_drop`.
    unsafe { &*owner.cast::<Rc<dyn ReleaseTensor>>() }.release(handle);
}

extern "C" fn releaser_drop(owner: *const c_void) {
    // SAFETY: called once, by the only `RawReleaser` that holds this box.
    drop(unsafe { Box::from_raw(owner.cast_mut().cast::<Rc<dyn ReleaseTensor>>()) });
}
