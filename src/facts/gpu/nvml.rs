//! NVML: what NVIDIA's driver says of itself and of its GPUs. Only for child processes (see `answer.rs`).

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};

use super::line::Line;
use super::load::Load;
use super::node::{self, Refusal};
use super::{GPU_IS_LOST, NvmlDevice};

/// The node over which NVML reaches the driver.
const CONTROL: &str = "/dev/nvidiactl";

/// Asks NVML, and tells its answer.
pub(super) fn answer(tell: &mut dyn FnMut(&Line)) -> Result<(), String> {
    // Not shut down: the process ends after the answer, and a shut-down may hang.
    let nvml = ManuallyDrop::new(Nvml::init().map_err(|error| reason(&error))?);
    let driver = nvml.sys_driver_version().map_err(|error| reason(&error))?;
    let cuda = nvml.sys_cuda_driver_version().ok();
    let cuda = cuda.map(|version| {
        format!("{}.{}", cuda_driver_version_major(version), cuda_driver_version_minor(version))
    });
    let count = match nvml.device_count() {
        // "No devices were found": an empty list.
        Err(NvmlError::NotFound) => Ok(0),
        count => count.map_err(|error| reason(&error)),
    }?;
    tell(&Line::Driver { driver, cuda, count });
    for index in 0..count {
        let device = match nvml.device_by_index(index) {
            Ok(device) => describe(&device),
            Err(error) => NvmlDevice { error: Some(reason(&error)), ..NvmlDevice::default() },
        };
        tell(&Line::Gpu(device));
    }
    Ok(())
}

/// How long one wait for an error of the GPU lasts. Milliseconds; the library takes a signed number of 32 bits.
const LONG: u32 = i32::MAX as u32;

/// A wait without an error that is shorter than this is no wait: the library does not wait at all.
const NO_WAIT: Duration = Duration::from_secs(1);

/// The number that NVML uses for an error without a number.
const NO_NUMBER: u64 = 999;

/// Waits for errors (Xid) of the GPU at `address`, and tells each. Returns only if that fails, as it does when the GPU is
/// lost. Between two errors the process sleeps in the kernel.
pub(super) fn watch(address: &str, tell: &mut dyn FnMut(&Line)) -> Result<(), String> {
    let nvml = ManuallyDrop::new(Nvml::init().map_err(|error| reason(&error))?);
    let device = nvml.device_by_pci_bus_id(address).map_err(|error| reason(&error))?;
    let events = nvml.create_event_set().map_err(|error| reason(&error))?;
    let events = device.register_events(EventTypes::CRITICAL_XID_ERROR, events);
    // Not released, for the same reason as NVML itself.
    let events = ManuallyDrop::new(events.map_err(|failed| reason(&failed.error))?);
    tell(&Line::Watching);
    loop {
        let began = Instant::now();
        match events.wait(LONG) {
            Ok(event) => match event.event_data {
                Some(XidError::Value(number)) => tell(&Line::Xid(number)),
                Some(XidError::Unknown) => tell(&Line::Xid(NO_NUMBER)),
                None => {}
            },
            Err(NvmlError::Timeout) if began.elapsed() > NO_WAIT => {}
            Err(error) => return Err(reason(&error)),
        }
    }
}

/// The time from one answer about the GPUs' loads to the next.
const STEP: Duration = Duration::from_secs(1);

/// How many rows this process prints before it ends: a row has at most some hundred bytes, and the daemon takes a limited
/// number of bytes from a child.
const ROWS: u32 = 1000;

/// Tells once a second what each GPU does. Ends after many answers.
pub(super) fn loads(tell: &mut dyn FnMut(&Line)) -> Result<(), String> {
    let nvml = ManuallyDrop::new(Nvml::init().map_err(|error| reason(&error))?);
    let count = match nvml.device_count() {
        Err(NvmlError::NotFound) => Ok(0),
        count => count.map_err(|error| reason(&error)),
    }?;
    let devices: Vec<_> = (0..count).map(|index| nvml.device_by_index(index)).collect();
    let mut next = Instant::now();
    for _ in 0..=ROWS / count.max(1) {
        let row = |device: &Result<Device<'_>, NvmlError>| match device {
            Ok(device) => load(device),
            Err(error) => Load { reason: Some(reason(error)), ..Load::default() },
        };
        tell(&Line::Loads(devices.iter().map(row).collect()));
        next = (next + STEP).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// What a GPU does. What a driver or a GPU cannot report is absent.
fn load(device: &Device<'_>) -> Load {
    let mut error = None;
    let mut failed = |found: NvmlError| {
        if is_failure(&found) {
            error.get_or_insert_with(|| reason(&found));
        }
    };
    let pci = device.pci_info().map_err(&mut failed).ok();
    let busy = device.utilization_rates().map_err(&mut failed).ok();
    let encoder = device.encoder_utilization().map_err(&mut failed).ok();
    let memory = device.memory_info().map_err(&mut failed).ok();
    let temperature = device.temperature(TemperatureSensor::Gpu).map_err(&mut failed).ok();
    let power = device.power_usage().map_err(&mut failed).ok();
    Load {
        pci: pci.and_then(|pci| kernel_form(&pci.bus_id)),
        busy_percent: busy.map(|busy| busy.gpu),
        encoder_percent: encoder.map(|encoder| encoder.utilization),
        memory_used: memory.as_ref().map(|memory| memory.used),
        memory_total: memory.as_ref().map(|memory| memory.total),
        temperature: temperature.map(|degrees| i64::from(degrees) * 1000),
        power: power.map(|milliwatts| u64::from(milliwatts) * 1000),
        energy: None,
        idle: None,
        reason: error,
    }
}

/// Whether an error is more than an old driver that does not know the question, or a GPU that has no such thing.
fn is_failure(error: &NvmlError) -> bool {
    use NvmlError::{FailedToLoadSymbol, FunctionNotFound, NotSupported};
    !matches!(error, NotSupported | FunctionNotFound | FailedToLoadSymbol(_))
}

/// What a GPU says of itself. A GPU that fails has the reason of the first failure.
fn describe(device: &Device<'_>) -> NvmlDevice {
    let mut error = None;
    let mut failed = |found: NvmlError| {
        if is_failure(&found) {
            error.get_or_insert_with(|| reason(&found));
        }
    };
    let uuid = device.uuid().map_err(&mut failed).ok();
    let name = device.name().map_err(&mut failed).ok();
    let pci = device.pci_info().map_err(&mut failed).ok();
    let minor = device.minor_number().map_err(&mut failed).ok();
    NvmlDevice {
        pci: pci.and_then(|pci| kernel_form(&pci.bus_id)),
        mig: instances(device),
        name,
        uuid,
        minor,
        error,
    }
}

/// The UUIDs of the instances of a divided GPU.
fn instances(device: &Device<'_>) -> Vec<String> {
    // A GPU that cannot be divided says "not supported".
    let places = device.mig_device_count().unwrap_or(0);
    (0..places).filter_map(|place| device.mig_device_by_index(place).ok()?.uuid().ok()).collect()
}

/// A PCI address as the kernel writes it: NVML has eight digits for the domain, and upper case.
fn kernel_form(address: &str) -> Option<String> {
    let (domain, rest) = address.split_once(':')?;
    let domain = u32::from_str_radix(domain, 16).ok()?;
    Some(format!("{domain:04x}:{}", rest.to_lowercase()))
}

/// An error of NVML in NVML's words, for which people search, and with what NVML does not say. `driver.rs` knows the
/// container and adds the remedy.
fn reason(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(error) => not_loaded(&error.to_string()),
        NvmlError::FailedToLoadSymbol(_) => {
            "libnvidia-ml.so.1 is not NVIDIA's library, or is damaged: install the host's driver again"
                .to_owned()
        }
        NvmlError::DriverNotLoaded => unreachable("Driver Not Loaded"),
        NvmlError::Unknown => unreachable("Unknown Error"),
        NvmlError::NoPermission => unreachable("Insufficient Permissions"),
        NvmlError::LibRmVersionMismatch => "Driver/library version mismatch".to_owned(),
        NvmlError::GpuLost => GPU_IS_LOST.to_owned(),
        NvmlError::ResetRequired => "GPU requires reset".to_owned(),
        NvmlError::OperatingSystem => "GPU access blocked by the operating system".to_owned(),
        NvmlError::InsufficientPower => {
            "Insufficient External Power: plug in the power cables of the card".to_owned()
        }
        error => error.to_string(),
    }
}

fn not_loaded(error: &str) -> String {
    if error.contains("libnvidia-ml.so.1: cannot open shared object file: No such file") {
        return "libnvidia-ml.so.1 was not found: start the container with --gpus all, or name the folder of the host's \
                driver in LD_LIBRARY_PATH"
            .to_owned();
    }
    format!("libnvidia-ml.so.1 cannot be loaded: {error}")
}

/// Why the driver cannot be reached. NVML's own words do not tell a driver that is not loaded from a node that is
/// missing or refused (root gets "unknown error" where other users get "driver not loaded"), so the node is tried.
fn unreachable(words: &str) -> String {
    match node::refusal(CONTROL) {
        Some(Refusal::ByRules(why)) => format!("Unknown Error: {why}"),
        Some(Refusal::Other(why)) => format!("{words}: {why}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_kernels_form() {
        for (address, expected) in [
            ("00000000:01:00.0", Some("0000:01:00.0")),
            ("00000001:AF:00.0", Some("0001:af:00.0")),
            ("00010000:3B:00.0", Some("10000:3b:00.0")),
            ("0000:01:00.0", Some("0000:01:00.0")),
            ("", None),
            ("x:1", None),
        ] {
            assert_eq!(kernel_form(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn reasons_have_nvmls_words() {
        let missing = "libnvidia-ml.so.1: cannot open shared object file: No such file or directory";
        assert!(not_loaded(missing).contains("--gpus all"));
        let short = not_loaded("libnvidia-ml.so.1: file too short");
        assert_eq!(short, "libnvidia-ml.so.1 cannot be loaded: libnvidia-ml.so.1: file too short");
        for (error, expected) in [
            (NvmlError::LibRmVersionMismatch, "Driver/library version mismatch"),
            (NvmlError::GpuLost, "GPU is lost"),
            (NvmlError::Timeout, "the provided timeout was reached"),
        ] {
            assert_eq!(reason(&error), expected);
        }
    }
}
