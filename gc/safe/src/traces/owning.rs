//! Types with memory of their own, outside of the heap.

use super::{BETWEEN_LOOKS, Trace, trace_all};
use crate::shape::Shape;
use palimpsest::Tracer;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};

// SAFETY: the value is visited.
unsafe impl<T: Trace> Trace for Box<T> {
    const SHAPE: Shape = T::SHAPE.outside();
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        (**self).trace(tracer);
    }
}

macro_rules! sequence {
    ($($name:ty $(, $hasher:ident)?);+ $(;)?) => {$(
        // SAFETY: all values are visited; a hasher is `'static`.
        unsafe impl<T: Trace $(, $hasher: 'static)?> Trace for $name {
            const SHAPE: Shape = T::SHAPE.outside();
            #[inline]
            fn trace(&self, tracer: &mut Tracer<'_>) {
                trace_all(self.iter(), tracer);
            }
        }
    )+};
}

sequence!(Box<[T]>; Vec<T>; VecDeque<T>; LinkedList<T>; BinaryHeap<T>; BTreeSet<T>; HashSet<T, S>, S);

/// Visits keys and values.
fn trace_pairs<'t, K: Trace + 't, V: Trace + 't>(
    pairs: impl Iterator<Item = (&'t K, &'t V)>,
    tracer: &mut Tracer<'_>,
) {
    if K::SHAPE.is_leaf() && V::SHAPE.is_leaf() {
        return;
    }
    for (k, (key, value)) in pairs.enumerate() {
        if k % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 && !tracer.goes_on() {
            return;
        }
        key.trace(tracer);
        value.trace(tracer);
    }
}

// SAFETY: all keys and values are visited; the hasher is `'static`.
unsafe impl<K: Trace, V: Trace, S: 'static> Trace for HashMap<K, V, S> {
    const SHAPE: Shape = Shape::of_variants(&[K::SHAPE, V::SHAPE]).outside();
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        trace_pairs(self.iter(), tracer);
    }
}

// SAFETY: all keys and values are visited.
unsafe impl<K: Trace, V: Trace> Trace for BTreeMap<K, V> {
    const SHAPE: Shape = Shape::of_variants(&[K::SHAPE, V::SHAPE]).outside();
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        trace_pairs(self.iter(), tracer);
    }
}
