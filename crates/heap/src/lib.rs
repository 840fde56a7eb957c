//! Gives memory that was freed back to the system. A crate of its own because of the one call that Rust cannot check:
//! desktopd itself has none. glibc keeps what lies between two allocations that are still in use, so a crowd of
//! connections leaves nearly all behind that it once took. An allocator that gives memory back by itself costs more at
//! rest, in each of our processes, than a service does.

/// Gives back what can be given back. It takes some milliseconds for each hundred megabytes, in which threads that
/// allocate may wait.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries have no such call.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
