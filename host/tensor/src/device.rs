//! The devices of tensors, the threads that work on them, and the libtorch of this process.
//!
//! One binary serves CPU and CUDA: it links the CPU half of libtorch only, and opens
//! `libtorch_cuda.so` by name if the loader can find one.

use super::{Result, TensorError};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::str::FromStr;

/// The libtorch minor that this program was compiled against.
const LIBTORCH: &str = "2.11";
/// `aoti_torch_abi_version()` of that libtorch: major, minor, patch, tweak in the top bytes.
const LIBTORCH_ABI: u64 = 0x020b;

unsafe extern "C" {
    fn aoti_torch_abi_version() -> u64;
}

/// A place for tensors; as text `cpu`, `cuda` for the first CUDA device, or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// Main memory.
    #[default]
    Cpu,
    /// The CUDA device of that index.
    Cuda(usize),
}

impl Device {
    pub(crate) fn to_tch(self) -> tch::Device {
        match self {
            Device::Cpu => tch::Device::Cpu,
            Device::Cuda(index) => tch::Device::Cuda(index),
        }
    }

    /// Other backends (MPS, Vulkan) cannot arise: the program never asks for them.
    pub(crate) fn from_tch(device: tch::Device) -> Self {
        match device {
            tch::Device::Cuda(index) => Device::Cuda(index),
            tch::Device::Cpu | tch::Device::Mps | tch::Device::Vulkan => Device::Cpu,
        }
    }

    /// Refuses a CUDA device that is not there. Call after [`load_cuda_backend`].
    ///
    /// # Errors
    /// A CUDA device that is not there.
    pub fn check(self) -> Result<()> {
        let Device::Cuda(index) = self else { return Ok(()) };
        let found = if tch::Cuda::is_available() { tch::Cuda::device_count() } else { 0 };
        if (index as i64) < found { Ok(()) } else { Err(TensorError::NoCuda { index, found }) }
    }

    /// Waits until the device has done all that was asked of it; needed around timings.
    pub fn synchronize(self) {
        if let Device::Cuda(index) = self {
            tch::Cuda::synchronize(index as i64);
        }
    }
}

impl FromStr for Device {
    type Err = TensorError;

    fn from_str(name: &str) -> Result<Self> {
        let index = match name {
            "cpu" => return Ok(Device::Cpu),
            "cuda" => Some("0"),
            // `parse` alone takes a sign and any number of zeros as well.
            _ => name
                .strip_prefix("cuda:")
                .filter(|digits| (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())),
        };
        index
            .and_then(|digits| digits.parse().ok())
            .map(Device::Cuda)
            .ok_or_else(|| TensorError::DeviceName { found: name.to_owned() })
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = TensorError;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// Loads the CUDA half of libtorch if there is one; tells whether there was.
///
/// It must run before anything asks libtorch about CUDA: the answer is cached for good.
/// So `main` does it before any other work.
///
/// # Errors
/// A backend that is there and does not load.
pub fn load_cuda_backend() -> Result<bool> {
    const NAME: &str = "libtorch_cuda.so";
    // SAFETY: the library is libtorch's own; its initialisers only register kernels.
    let opened = unsafe {
        libloading::os::unix::Library::open(
            Some(NAME),
            libloading::os::unix::RTLD_NOW | libloading::os::unix::RTLD_GLOBAL,
        )
    };
    match opened {
        Ok(library) => {
            // Never unloaded: kernels stay registered for the life of the process.
            std::mem::forget(library);
            Ok(true)
        }
        Err(error) => {
            let message = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            if message.contains("libtorch_cuda.so: cannot open shared object file") {
                Ok(false)
            } else {
                Err(TensorError::CudaBackend { message })
            }
        }
    }
}

/// Refuses to run on a libtorch other than the one compiled against.
///
/// # Errors
/// Another libtorch than the one that the program was built for.
pub fn check_libtorch_version() -> Result<()> {
    // SAFETY: a plain C function of libtorch without arguments.
    let version = unsafe { aoti_torch_abi_version() };
    if version >> 48 == LIBTORCH_ABI {
        return Ok(());
    }
    let found = format!("{}.{}", version >> 56, (version >> 48) & 0xff);
    Err(TensorError::Version { found, expected: LIBTORCH })
}

/// The libtorch in the process, as `major.minor.patch`.
pub fn libtorch_version() -> String {
    // SAFETY: a plain C function of libtorch without arguments.
    let version = unsafe { aoti_torch_abi_version() };
    format!("{}.{}.{}", version >> 56, (version >> 48) & 0xff, (version >> 40) & 0xff)
}

/// Sets the number of threads that one CPU operation may use.
pub fn set_threads(n_threads: usize) {
    tch::set_num_threads(i32::try_from(n_threads.max(1)).unwrap_or(i32::MAX));
}

/// Processors that this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The number of threads that one CPU operation may use.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names() {
        assert_eq!("cpu".parse::<Device>().unwrap(), Device::Cpu);
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        assert_eq!("cuda:1".parse::<Device>().unwrap(), Device::Cuda(1));
        assert_eq!("cuda:999".parse::<Device>().unwrap(), Device::Cuda(999));
        for bad in ["gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:1000", "cuda:x", "CPU", ""] {
            let error = bad.parse::<Device>().unwrap_err().to_string();
            assert_eq!(error, format!("device `{bad}`: expected `cpu`, `cuda` or `cuda:N`"));
        }
    }

    #[test]
    fn the_libtorch_in_the_process_is_the_expected_one() {
        check_libtorch_version().unwrap();
    }
}
