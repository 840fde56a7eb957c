//! Returns freed memory to the system. glibc keeps freed memory that lies between two live allocations, so after many
//! connections have closed, the process still holds nearly all the memory that they used. An allocator that returns
//! memory by itself costs more memory at rest, in each of our processes, than a service does.

#![expect(unsafe_code, reason = "glibc's malloc_trim has no safe interface")]

/// Returns as much memory as possible. The call takes some milliseconds for each hundred megabytes; threads that
/// allocate may wait meanwhile. Other C libraries than glibc have no such call, so nothing happens there.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointer, and glibc allows it to any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
