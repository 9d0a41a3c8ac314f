//! Linear maps through oneDNN, which libtorch carries but does not use for plain f32 matrices.
//!
//! libtorch sends f32 products to MKL, which runs at half speed on processors that are not Intel's;
//! oneDNN does not care. Without gradients the fused form is called (`y = act(x Wᵀ + b)`, then
//! `y + other` or `y · other` while the result is still in cache); with gradients the differentiable
//! `mkldnn_linear`. Elsewhere (CUDA, other dtypes, strided inputs) `applies` says no.

use super::{Activation, Device, Dtype, Result, Tensor, TensorError, grad_enabled};
use std::ffi::{c_char, c_void};

unsafe extern "C" {
    // In libtorch_cpu since 2.9: `torch/csrc/inductor/aoti_torch/c/shim_cpu.h`.
    fn aoti_torch_cpu__linear_pointwise(
        x: *mut c_void,
        weight: *mut c_void,
        bias: *mut *mut c_void,
        attr: *const c_char,
        scalars: *mut *const f64,
        scalars_len: i64,
        algorithm: *mut *const c_char,
        ret: *mut *mut c_void,
    ) -> i32;
    fn aoti_torch_cpu__linear_pointwise_binary(
        x: *mut c_void,
        other: *mut c_void,
        weight: *mut c_void,
        bias: *mut *mut c_void,
        attr: *const c_char,
        ret: *mut *mut c_void,
    ) -> i32;
}

/// Last step of a linear map, applied to `x Wᵀ + b`.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    None,
    Activation(Activation),
    /// `y + other`.
    Add(&'a Tensor),
    /// `y · other`.
    Mul(&'a Tensor),
}

impl Epilogue<'_> {
    /// The last step by itself.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn apply(self, y: Tensor) -> Result<Tensor> {
        match self {
            Epilogue::None => Ok(y),
            Epilogue::Activation(activation) => activation.apply(&y),
            Epilogue::Add(other) => y.add(other),
            Epilogue::Mul(other) => y.mul(other),
        }
    }

    /// True if the other operand takes part in a recorded graph.
    pub(super) fn is_recorded(self) -> bool {
        match self {
            Epilogue::Add(other) | Epilogue::Mul(other) => grad_enabled() && other.requires_grad(),
            _ => false,
        }
    }
}

/// True if oneDNN can do this: plain f32 matrices on the CPU whose shapes fit. Anything else goes
/// to libtorch's own path, whose error then names the shapes.
pub(super) fn applies(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, epilogue: Epilogue<'_>) -> bool {
    let f32_on_cpu = |t: &Tensor| t.dtype() == Dtype::F32 && t.device() == Device::Cpu;
    let plain = |t: &Tensor| f32_on_cpu(t) && t.is_contiguous();
    let (&[tokens, width], &[out, inner]) = (x.shape().as_slice(), weight.shape().as_slice()) else { return false };
    let other_fits = match epilogue {
        Epilogue::Add(other) | Epilogue::Mul(other) => plain(other) && other.shape() == [tokens, out],
        _ => true,
    };
    let bias_fits = bias.is_none_or(|b| plain(b) && b.shape() == [out]);
    width == inner
        && tokens > 0
        && width > 0
        && out > 0
        && plain(x)
        && f32_on_cpu(weight)
        && is_dense(weight)
        && bias_fits
        && other_fits
}

/// Rows or columns one after another: oneDNN's kernels take both; other strides go to its slow reference code.
fn is_dense(weight: &Tensor) -> bool {
    weight.is_contiguous() || weight.transpose(0, 1).is_ok_and(|turned| turned.is_contiguous())
}

/// True if a product of these tensors would be recorded for gradients.
pub(super) fn is_recorded(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    grad_enabled() && (x.requires_grad() || weight.requires_grad() || bias.is_some_and(Tensor::requires_grad))
}

/// `x Wᵀ + b`, differentiable: there and back again between libtorch's and oneDNN's tensor kinds.
pub(super) fn linear_with_gradients(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let run = || {
        let x = x.0.f_to_mkldnn(None)?;
        x.f_mkldnn_linear(&weight.0, bias.map(|b| &b.0))?.f_to_dense(None, false)
    };
    run().map(Tensor).map_err(|e| TensorError::torch("linear", &[&x.0, &weight.0], &e))
}

/// `epilogue(x Wᵀ + b)` without gradients; shapes have been checked by the caller.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, epilogue: Epilogue<'_>) -> Result<Tensor> {
    let mut bias_handle = bias.map(handle);
    let bias_pointer = bias_handle.as_mut().map_or(std::ptr::null_mut(), |b| b as *mut *mut c_void);
    let (x_handle, weight_handle) = (handle(x), handle(weight));
    let mut out: *mut c_void = std::ptr::null_mut();
    let unary = |attr: &'static std::ffi::CStr, algorithm: Option<&'static std::ffi::CStr>, out: &mut *mut c_void| {
        let mut algorithm = algorithm.map(std::ffi::CStr::as_ptr);
        let algorithm = algorithm.as_mut().map_or(std::ptr::null_mut(), |a| a as *mut *const c_char);
        // SAFETY: all handles are live `at::Tensor*`; strings are static; `out` receives a new one.
        unsafe {
            let scalars = std::ptr::null_mut();
            aoti_torch_cpu__linear_pointwise(
                x_handle,
                weight_handle,
                bias_pointer,
                attr.as_ptr(),
                scalars,
                0,
                algorithm,
                out,
            )
        }
    };
    let binary = |attr: &'static std::ffi::CStr, other: &Tensor, out: &mut *mut c_void| {
        let other = handle(other);
        // SAFETY: as above.
        unsafe {
            aoti_torch_cpu__linear_pointwise_binary(x_handle, other, weight_handle, bias_pointer, attr.as_ptr(), out)
        }
    };
    let status = match epilogue {
        Epilogue::None => unary(c"none", None, &mut out),
        Epilogue::Activation(Activation::Silu) => unary(c"swish", None, &mut out),
        Epilogue::Activation(Activation::GeluTanh) => unary(c"gelu", Some(c"tanh"), &mut out),
        Epilogue::Activation(Activation::Gelu) => unary(c"gelu", Some(c"none"), &mut out),
        Epilogue::Activation(Activation::Relu) => unary(c"relu", None, &mut out),
        Epilogue::Activation(Activation::Tanh) => unary(c"tanh", None, &mut out),
        Epilogue::Add(other) => binary(c"add", other, &mut out),
        Epilogue::Mul(other) => binary(c"mul", other, &mut out),
    };
    if status != 0 || out.is_null() {
        return Err(TensorError::Torch {
            op: "linear",
            shapes: format!("{x:?} and {weight:?}"),
            message: "oneDNN refused the product".to_owned(),
        });
    }
    // SAFETY: a fresh `at::Tensor*` that we own.
    Ok(Tensor(unsafe { tch::Tensor::from_ptr(out.cast()) }))
}

fn handle(tensor: &Tensor) -> *mut c_void {
    tensor.as_raw().cast_mut()
}
