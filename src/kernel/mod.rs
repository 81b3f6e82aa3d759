//! One driver for each kernel interface, no policy.
