//! The examination for a terminal.

use super::{Examination, Offer};
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::VARIABLE;
use std::fmt::{self, Display, Formatter};

impl Display for Examination {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let who = if self.privileged { "root" } else { "an unprivileged user" };
        writeln!(f, "Linux {} on {}, asked by {who}", self.kernel, self.architecture)?;
        section(f, "Ways to a userfaultfd (one is enough)", &self.doors)?;
        section(f, "Features of the kernel's userfaultfd", &self.features)?;
        section(f, "Ways to notice a write", &self.deliveries)?;
        section(f, "Besides", &self.others)?;
        writeln!(
            f,
            "  pages of {} bytes, at most {} mappings a process",
            self.page_size, self.most_mappings
        )?;
        let limit = Bytes(self.heap_limit);
        match &self.rung {
            Some(rung) => writeln!(f, "\nA heap of up to {limit} stands on: {rung}")?,
            None => writeln!(f, "\nA heap of up to {limit} cannot be made here.")?,
        }
        if self.chosen_by == VARIABLE {
            writeln!(f, "(forced by the environment variable {VARIABLE})")?;
        }
        if self.changes.is_empty() {
            return writeln!(f, "There is no better one.");
        }
        writeln!(
            f,
            "For {}, change one of these:",
            if self.rung.is_some() { "a better one" } else { "one" }
        )?;
        self.changes.iter().try_for_each(|change| writeln!(f, "  - {change}"))
    }
}

fn section(f: &mut Formatter<'_>, title: &str, offers: &[Offer]) -> fmt::Result {
    if offers.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}:")?;
    let width = offers.iter().map(|offer| offer.name.len()).max().unwrap_or(0);
    for Offer { name, what, refused } in offers {
        let answer = if refused.is_none() { "yes" } else { "no " };
        writeln!(f, "  {answer} {name:width$}  {what}")?;
        if let Some(why) = refused {
            writeln!(f, "      {:width$}  {why}", "")?;
        }
    }
    Ok(())
}
