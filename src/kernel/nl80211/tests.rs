//! Bytes of the kernel, and of others.
