//! A map whose next version shares with it all that did not change.
//!
//! Rule: a change copies one shard, [`SHARD_ENTRIES`] entries at most times two, whatever the size of the map: a network
//! of ten thousand hosts is not copied because one came. A map that outgrew its shards is spread anew, once in a doubling.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// Entries of one shard, about: what a change copies.
const SHARD_ENTRIES: usize = 64;

/// Shards of one map: bounds what a new version costs by itself.
const SHARDS_MAX: usize = 1_024;

#[derive(Debug, Clone)]
pub struct Shards<K, V> {
    hasher: RandomState,
    shards: Vec<Arc<HashMap<K, V>>>,
    length: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    pub fn for_entries(entries: usize) -> Self {
        let shards = (entries / SHARD_ENTRIES).next_power_of_two().clamp(1, SHARDS_MAX);
        Self { hasher: RandomState::new(), shards: vec![Arc::default(); shards], length: 0 }
    }

    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // A power of two of them.
        self.hasher.hash_one(key) as usize & (self.shards.len() - 1)
    }

    pub fn count(&self) -> usize {
        self.length
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards[self.place(key)].get(key)
    }

    /// Answers what was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.length >= self.shards.len() * SHARD_ENTRIES * 2 && self.shards.len() < SHARDS_MAX {
            self.spread();
        }
        let place = self.place(&key);
        let old = Arc::make_mut(&mut self.shards[place]).insert(key, value);
        self.length += usize::from(old.is_none());
        old
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key);
        if !self.shards[place].contains_key(key) {
            return None;
        }
        let old = Arc::make_mut(&mut self.shards[place]).remove(key);
        self.length -= usize::from(old.is_some());
        old
    }

    fn spread(&mut self) {
        let mut wider = Self::for_entries(self.length * 2);
        for (key, value) in self.iter() {
            wider.insert(key.clone(), value.clone());
        }
        *self = wider;
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_older_versions_stay_as_they_were(steps in prop::collection::vec((any::<bool>(), 0u16..600), 0..900)) {
            let (mut shards, mut map) = (Shards::for_entries(0), HashMap::new());
            let mut older = None;
            for (at, (adds, key)) in steps.iter().enumerate() {
                if at == steps.len() / 2 {
                    older = Some((shards.clone(), map.clone()));
                }
                match adds {
                    true => prop_assert_eq!(shards.insert(*key, at), map.insert(*key, at)),
                    false => prop_assert_eq!(shards.remove(key), map.remove(key)),
                }
            }
            for (shards, map) in older.into_iter().chain([(shards, map)]) {
                prop_assert_eq!(shards.count(), map.len());
                let mut found: Vec<_> = shards.iter().map(|(key, value)| (*key, *value)).collect();
                let mut wanted: Vec<_> = map.into_iter().collect();
                found.sort_unstable();
                wanted.sort_unstable();
                prop_assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn a_change_of_a_big_map_copies_one_shard() {
        let mut shards = Shards::for_entries(0);
        (0..10_000u32).for_each(|n| assert_eq!(shards.insert(n, n), None));
        let before = shards.clone();
        shards.insert(10_000, 0);
        let shared = before.shards.iter().zip(&shards.shards).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, before.shards.len() - 1);
        assert!(before.shards.len() >= 64, "{} shards", before.shards.len());
    }
}
