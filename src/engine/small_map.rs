//! A map for a handful of entries, sorted by key in one allocation that is no larger than needed.
//!
//! A `BTreeMap` allocates a node of eleven entries for the first one: with two thousand clients of one or two addresses each that
//! would be more than a megabyte of nothing, on routers that have 64 in all.

/// The map. Inserting and removing move what lies behind: meant for tens of entries, not for thousands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmallMap<K, V>(Box<[(K, V)]>);

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<K: Ord, V> SmallMap<K, V> {
    fn position(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.position(key).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.position(key).ok().and_then(|at| self.0.get_mut(at)).map(|(_, value)| value)
    }

    /// Whether `key` has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.position(key).is_ok()
    }

    /// Gives `key` a value; returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.position(&key) {
            Ok(at) => self.0.get_mut(at).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(at) => {
                let mut entries = std::mem::take(&mut self.0).into_vec();
                entries.reserve_exact(1);
                entries.insert(at, (key, value));
                self.0 = entries.into_boxed_slice();
                None
            }
        }
    }

    /// Takes the value of `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.position(key).ok().map(|at| {
            let mut entries = std::mem::take(&mut self.0).into_vec();
            let (_, value) = entries.remove(at);
            self.0 = entries.into_boxed_slice();
            value
        })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + '_ {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> + '_ {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> + '_ {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SmallMap<K, V> {
    /// Of entries with the same key the last one counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_behaves_as_a_btree_map_does(operations in proptest::collection::vec((0u8..3, 0u8..10, 0u8..100), 0..60)) {
            let (mut small, mut large) = (SmallMap::default(), BTreeMap::new());
            for (operation, key, value) in operations {
                match operation {
                    0 => prop_assert_eq!(small.insert(key, value), large.insert(key, value)),
                    1 => prop_assert_eq!(small.remove(&key), large.remove(&key)),
                    _ => prop_assert_eq!(small.get_mut(&key), large.get_mut(&key)),
                }
                prop_assert_eq!(small.iter().collect::<Vec<_>>(), large.iter().collect::<Vec<_>>());
                prop_assert_eq!(small.contains_key(&key), large.contains_key(&key));
            }
        }
    }
}
