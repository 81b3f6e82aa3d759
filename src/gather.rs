//! Collecting into trees with little code.

/// Collects by inserting one entry after the other. `collect` into a tree of the standard library sorts first, which is 5 kB of code
/// for each type of entry.
pub(crate) fn gather<C: Default + Extend<T>, T>(entries: impl IntoIterator<Item = T>) -> C {
    let mut collection = C::default();
    collection.extend(entries);
    collection
}
