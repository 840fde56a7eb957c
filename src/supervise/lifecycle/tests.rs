//! The life of units without a process or a clock.
