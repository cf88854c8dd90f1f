//! What a cycle looks at.

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    Full,
    Young,
}
