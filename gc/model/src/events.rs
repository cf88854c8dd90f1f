//! Why a cycle is asked for.

#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Reason {
    #[default]
    Allocation,
    Limit,
    Explicit,
    Stress,
}
