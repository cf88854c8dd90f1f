//! What is wrong with options.

use super::table::all;

/// Why options cannot be taken. The message names the option, says what it takes, and, if the environment gave it, by which
/// variable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No option has this name.
    #[error("unknown option `{name}`; {}options are: {}", did_you_mean(*.meant), names())]
    Unknown {
        /// What was written; shortened, if it is long.
        name: String,
        /// The option whose name is nearly that.
        meant: Option<&'static str>,
    },
    /// The option does not take this value.
    #[error("`{item}`: {why}")]
    Value {
        /// The option's name.
        option: &'static str,
        /// The option with its value; shortened, if it is long.
        item: String,
        /// What it takes.
        why: String,
    },
    /// This is not a list of options.
    #[error("{0}")]
    Malformed(String),
    /// The environment has it.
    #[error("{variable}: {problem}")]
    Environment {
        /// The variable's name.
        variable: &'static str,
        /// What is wrong with its value.
        problem: Box<OptionError>,
    },
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!("did you mean `{name}`? "))
}

fn names() -> String {
    all().map(|option| option.name).collect::<Vec<_>>().join(", ")
}
