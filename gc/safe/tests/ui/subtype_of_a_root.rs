//! Types of which one is a subtype of the other may have different roots: neither arena, builder nor stashed pointer goes from one to
//! the other.

use palimpsest_safe::{Arena, ArenaBuilder, Rootable, Stashed, Trace};
use std::marker::PhantomData;

type General = for<'x> fn(&'x ());
type Special = fn(&'static ());

trait Choose {
    type Out: Trace + 'static;
}

#[allow(coherence_leak_check)]
impl Choose for General {
    type Out = [u64; 3];
}

#[allow(coherence_leak_check)]
impl Choose for Special {
    type Out = &'static str;
}

struct Chosen<T>(PhantomData<T>);

impl<'a, T: Choose + 'static> Rootable<'a> for Chosen<T> {
    type Root = T::Out;
}

fn arena(arena: Arena<Chosen<General>>) -> Arena<Chosen<Special>> {
    arena
}

fn builder(builder: ArenaBuilder<Chosen<General>>) -> ArenaBuilder<Chosen<Special>> {
    builder
}

fn stashed(stashed: Stashed<Chosen<General>>) -> Stashed<Chosen<Special>> {
    stashed
}

fn main() {}
