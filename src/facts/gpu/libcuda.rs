//! One library of CUDA, called `libcuda.so.1`: which version it offers, and whether it works on this machine. Only for
//! child processes (see `answer.rs`): the library belongs to the driver and may hang or crash.
//!
//! There can be two such libraries: the driver's own, and a newer one of the package `cuda-compat`. So the library is
//! loaded by its path: a path with a slash is never searched for.
//!
//! This module has the calls that have no safe interface: loading the library, and two functions in it, whose types are
//! those of `cuda.h`.

#![expect(unsafe_code, reason = "CUDA's driver library has no safe interface")]

use std::mem::ManuallyDrop;

use libloading::Library;

use super::line::Line;

/// `CUresult`: success.
const SUCCESS: i32 = 0;

/// Loads the library and tells its version. With `initialize` it then has the library start, and tells the result.
pub(super) fn answer(library: &str, initialize: bool, tell: &mut dyn FnMut(&Line)) -> Result<(), String> {
    // SAFETY: code runs when the library is loaded. It is the driver's code, which every program that computes on the
    // GPU loads as well, and this process has one thread and does nothing else.
    let loaded =
        unsafe { Library::new(library) }.map_err(|error| format!("{library} cannot be loaded: {error}"))?;
    // Never unloaded: the library may have started threads.
    let loaded = ManuallyDrop::new(loaded);
    let lacks = |name: &str| format!("{library} has no function {name}: it is not CUDA's library");
    let mut version = 0;
    // SAFETY: the function of this name has this type.
    let get = unsafe { loaded.get::<unsafe extern "C" fn(*mut i32) -> i32>(b"cuDriverGetVersion\0") };
    let get = get.map_err(|_| lacks("cuDriverGetVersion"))?;
    // SAFETY: `version` lives longer than the call. The function needs no initialization.
    let result = unsafe { get(&raw mut version) };
    if result != SUCCESS {
        return Err(format!("cuDriverGetVersion answers {}", named(result)));
    }
    tell(&Line::CudaVersion(version));
    if initialize {
        // SAFETY: the function of this name has this type.
        let init = unsafe { loaded.get::<unsafe extern "C" fn(u32) -> i32>(b"cuInit\0") };
        let init = init.map_err(|_| lacks("cuInit"))?;
        // SAFETY: the only argument is a number, which has to be 0.
        tell(&Line::CudaStarted(unsafe { init(0) }));
    }
    Ok(())
}

/// A result of CUDA with its name, for which people search. The names are those of `cuda.h`.
pub(super) fn named(result: i32) -> String {
    let name = match result {
        3 => "CUDA_ERROR_NOT_INITIALIZED",
        34 => "CUDA_ERROR_STUB_LIBRARY",
        46 => "CUDA_ERROR_DEVICE_UNAVAILABLE",
        100 => "CUDA_ERROR_NO_DEVICE",
        101 => "CUDA_ERROR_INVALID_DEVICE",
        304 => "CUDA_ERROR_OPERATING_SYSTEM",
        802 => "CUDA_ERROR_SYSTEM_NOT_READY",
        803 => "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        804 => "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        999 => "CUDA_ERROR_UNKNOWN",
        _ => return result.to_string(),
    };
    format!("{result} ({name})")
}
