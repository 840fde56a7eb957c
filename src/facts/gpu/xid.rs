//! NVIDIA's numbers for errors of a GPU (Xid), and what they mean for a desktop.
//!
//! The meanings and the actions are those of NVIDIA's catalog (docs.nvidia.com/deploy/xid-errors, "Analyzing Xid Errors
//! with the Xid Catalog"): its action `RESTART_APP` or `IGNORE` is [`Effect::Program`] here, `RESET_GPU` is
//! [`Effect::Reset`], and `RESTART_BM` is [`Effect::Lost`]. In one case NVIDIA's own device plugin for Kubernetes
//! differs from the catalog: the plugin goes on using a GPU after 109.

/// What an Xid means for the programs on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// One program failed, or an error was repaired. The GPU works on.
    Program,
    /// Not known here: the driver has to be asked.
    Unknown,
    /// Programs may fail until the host resets the GPU.
    Reset,
    /// The GPU does not answer any more.
    Lost,
}

/// What the catalog says about the numbers that matter to a desktop, in plain words.
const CATALOG: [(u64, Effect, &str); 30] = [
    (13, Effect::Program, "graphics engine exception"),
    (31, Effect::Program, "memory page fault"),
    (32, Effect::Program, "invalid commands in the push buffer"),
    (43, Effect::Program, "a program's work was stopped"),
    (45, Effect::Program, "a program's work was removed after an error or at the program's end"),
    (46, Effect::Reset, "the GPU stopped processing"),
    (48, Effect::Reset, "double bit ECC error in the memory"),
    (60, Effect::Program, "video processor exception"),
    (62, Effect::Reset, "an internal micro-controller halted"),
    (63, Effect::Program, "a bad part of the memory was replaced"),
    (64, Effect::Reset, "a bad part of the memory could not be replaced"),
    (66, Effect::Program, "illegal access by the driver"),
    (67, Effect::Program, "illegal access by the driver"),
    (68, Effect::Program, "video decoder exception"),
    (69, Effect::Program, "graphics engine class error"),
    (74, Effect::Reset, "error of the connection between GPUs (NVLink)"),
    (79, Effect::Lost, "GPU has fallen off the bus"),
    (92, Effect::Program, "many single bit errors in the memory"),
    (94, Effect::Program, "memory error in one program"),
    (95, Effect::Reset, "memory error that may concern all programs"),
    (109, Effect::Program, "context switch timeout"),
    (110, Effect::Reset, "security fault"),
    (119, Effect::Reset, "the GPU's own processor (GSP) does not answer"),
    (120, Effect::Reset, "error of the GPU's own processor (GSP)"),
    (136, Effect::Reset, "training of a link failed"),
    (140, Effect::Reset, "memory error that was not repaired"),
    (143, Effect::Reset, "initialization of the GPU failed"),
    (154, Effect::Unknown, "the driver's advice for this GPU changed"),
    (156, Effect::Reset, "a part of the GPU was taken out of use"),
    (158, Effect::Reset, "fatal timeout"),
];

/// What an Xid means, and its name; without a name, the number is not known here.
pub fn meaning(number: u64) -> (Effect, Option<&'static str>) {
    let known = CATALOG.iter().find(|(known, ..)| *known == number);
    known.map_or((Effect::Unknown, None), |(_, effect, name)| (*effect, Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalog_is_in_order_and_decides() {
        assert!(CATALOG.is_sorted_by_key(|(number, ..)| *number));
        for (number, effect) in [
            (13, Effect::Program),
            (31, Effect::Program),
            (43, Effect::Program),
            (45, Effect::Program),
            (48, Effect::Reset),
            (62, Effect::Reset),
            (63, Effect::Program),
            (64, Effect::Reset),
            (74, Effect::Reset),
            (79, Effect::Lost),
            (94, Effect::Program),
            (95, Effect::Reset),
            (109, Effect::Program),
            (119, Effect::Reset),
            (120, Effect::Reset),
            (154, Effect::Unknown),
            (999, Effect::Unknown),
        ] {
            assert_eq!(meaning(number).0, effect, "{number}");
        }
        assert_eq!(meaning(79).1, Some("GPU has fallen off the bus"));
        assert_eq!(meaning(5000).1, None);
    }
}
