//! What a connection costs at each stage: measured, and rounded up. Bytes.

/// No thread serves it yet.
pub(super) const ACCEPTED: usize = 2 << 10;
/// Nothing has been read yet: the cost in addition to `ACCEPTED`.
pub(super) const SILENT: isize = 6 << 10;
/// HTTP/1, with a buffer for each direction and a request that is being answered.
pub(crate) const HTTP1: isize = 40 << 10;
/// A TLS handshake, and the TLS state after it.
pub(crate) const TLS: isize = 32 << 10;
/// HTTP/2 with its tables and its window.
pub(crate) const HTTP2: isize = 128 << 10;
/// A response that the client does not read, in HTTP/1 and in HTTP/2.
pub(crate) const UNSENT: isize = 128 << 10;
pub(crate) const UNSENT_HTTP2: isize = 512 << 10;
/// The data of an upgraded connection.
pub(crate) const UPGRADE: isize = 16 << 10;
/// A further request that is being answered at the same time.
pub(super) const REQUEST: usize = 16 << 10;
/// The same, with a connection to a service.
pub(super) const PASSED_ON: usize = 32 << 10;
/// One of many responses on a connection that the client has not taken yet.
pub(crate) const RESPONSE: isize = 4 << 10;
