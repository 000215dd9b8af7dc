//! Which device networks run on. It is opened once and handed through as a value; a network lives where its weights
//! do.

use std::str::FromStr;

use super::{Error, Result};

pub use candle_core::Device;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The first NVIDIA card where this program is built with CUDA and one answers, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The NVIDIA card of that number.
    Cuda(usize),
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Choice> {
        let number = text.strip_prefix("cuda:").map(str::parse);
        match (text, number) {
            ("auto", _) => Ok(Choice::Auto),
            ("cpu", _) => Ok(Choice::Cpu),
            ("cuda", _) => Ok(Choice::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Choice::Cuda(number)),
            _ => Err(Error::Device(format!("there is no device `{text}`; choose auto, cpu, cuda or cuda:N"))),
        }
    }
}

/// Opens it.
///
/// # Errors
/// [`Error::Device`] where CUDA was asked for by name and cannot be had.
pub fn open(choice: Choice) -> Result<Device> {
    match choice {
        Choice::Cpu => Ok(Device::Cpu),
        Choice::Auto => Ok(cuda(0).unwrap_or(Device::Cpu)),
        Choice::Cuda(number) => cuda(number),
    }
}

fn cuda(number: usize) -> Result<Device> {
    if !candle_core::utils::cuda_is_available() {
        let problem =
            "this program was built without CUDA; build it with `cargo build --release --features cuda`, or set device (HUB_DEVICE) to cpu";
        return Err(Error::Device(problem.into()));
    }
    let device = Device::new_cuda(number).map_err(|error| {
        let error = error.to_string();
        // A backtrace may follow.
        let error = error.lines().next().unwrap_or_default();
        Error::Device(format!(
            "the CUDA device {number} does not answer ({error}); see whether `nvidia-smi` lists it, choose another as cuda:N, or set device (HUB_DEVICE) to cpu"
        ))
    })?;
    #[cfg(feature = "cuda")]
    keep_memory(&device);
    Ok(device)
}

/// Lets the driver keep what a step gives back for the next one; else it returns the card's memory at each wait.
#[cfg(feature = "cuda")]
fn keep_memory(device: &Device) {
    use candle_core::cuda_backend::cudarc::driver::{result, sys::CUmemPool_attribute};
    let Device::Cuda(card) = device else { return };
    let mut bytes = u64::MAX;
    // A card without pools is asked for memory each time: slower, and right.
    // SAFETY: the device is that of a live context, the pool is the driver's own, and the attribute is a u64, which
    // the driver copies during the call.
    let _kept = unsafe {
        result::device::get_default_mem_pool(card.cuda_stream().context().cu_device()).and_then(|pool| {
            result::mem_pool::set_attribute(pool, CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut bytes).cast())
        })
    };
}

/// What people are shown: `CPU`, or the card and its number.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu => "CPU".into(),
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => {
            let context = card.cuda_stream().context().clone();
            let name = context.name().unwrap_or_else(|_| "a card without a name".into());
            format!("{name} (cuda:{})", context.ordinal())
        }
        other => format!("{:?}", other.location()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_plainly() {
        let read = |text: &str| text.parse::<Choice>().ok();
        assert_eq!([read("auto"), read("cpu"), read("cuda")], [Some(Choice::Auto), Some(Choice::Cpu), Some(Choice::Cuda(0))]);
        assert_eq!((read("cuda:3"), read("cuda:"), read("gpu")), (Some(Choice::Cuda(3)), None, None));
        assert!(matches!(open(Choice::Cpu), Ok(Device::Cpu)));
        assert_eq!(describe(&Device::Cpu), "CPU");
    }

    #[test]
    fn a_card_that_cannot_be_had_is_an_error_that_says_what_to_do_and_auto_does_without() {
        // No machine has so many.
        let error = open(Choice::Cuda(4_000)).unwrap_err().to_string();
        assert!(
            error.contains("HUB_DEVICE") && error.contains(if cfg!(feature = "cuda") { "nvidia-smi" } else { "--features cuda" }),
            "{error}"
        );
        assert!(open(Choice::Auto).is_ok());
    }
}
