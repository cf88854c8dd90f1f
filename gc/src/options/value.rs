//! How the values of options are written: sizes, durations, counts, switches, shares, and names.
//!
//! Each type reads what it shows. What is shown is the shortest way to write the value exactly.

use crate::host_fork::HostFork;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Wish;
use palimpsest_runtime::sys::limits;
use std::time::Duration;

/// A type that options can have.
pub(crate) trait Value: Sized + Sync {
    /// Reads a value. The error says what one looks like.
    fn read(text: &str) -> Result<Self, String>;

    /// The value as it is written.
    fn show(&self) -> String;

    /// Whether it is less than another, where values have an order.
    fn is_below(&self, _other: &Self) -> bool {
        false
    }
}

/// A number, and what it is followed by.
fn number(text: &str) -> Option<(Result<u64, String>, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    // Of digits alone, so that nothing but their number can be wrong.
    (!digits.is_empty()).then(|| (digits.parse().map_err(|_| too_large()), unit))
}

fn too_large() -> String {
    "the number is too large".into()
}

/// A number in one of these units, the largest first, with what each is worth.
fn scaled(text: &str, units: &[(&str, u64)], wanted: &str) -> Result<u64, String> {
    let (number, unit) = number(text).ok_or(wanted)?;
    let (_, worth) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(wanted)?;
    number?.checked_mul(*worth).ok_or_else(too_large)
}

/// The number in the largest unit that leaves no fraction.
fn show_scaled(number: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, worth): &&(&str, u64)| number != 0 && number.is_multiple_of(*worth);
    let (name, worth) = units.iter().find(fits).or(units.last()).unwrap_or(&("", 1));
    format!("{}{name}", number / worth)
}

const SIZES: &[(&str, u64)] = &[("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10), ("", 1)];

impl Value for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        let bytes =
            scaled(text, SIZES, "a size is a number of bytes, or of K, M, G or T (binary), as in 512M")?;
        usize::try_from(bytes).map(Bytes).map_err(|_| too_large())
    }

    fn show(&self) -> String {
        show_scaled(self.0 as u64, SIZES)
    }

    fn is_below(&self, other: &Self) -> bool {
        self < other
    }
}

/// Reads a size, or a share of the memory that the process may use.
pub(crate) fn size_or_share_of_memory(text: &str) -> Result<Bytes, String> {
    if !text.ends_with('%') {
        return Bytes::read(text).map_err(|why| {
            if why == too_large() { why } else { format!("{why}, or a share of memory, as in 25%") }
        });
    }
    let percent = percent(text)?;
    Ok(Bytes((limits::physical_memory().0 as u128 * u128::from(percent) / 100) as usize))
}

/// Reads a number of per cent, from 1 to 100.
pub(crate) fn percent(text: &str) -> Result<u64, String> {
    match number(text) {
        Some((Ok(percent @ 1..=100), "%")) => Ok(percent),
        _ => Err("a share is a whole number of per cent, from 1% to 100%".into()),
    }
}

const TIMES: &[(&str, u64)] = &[("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        scaled(text, TIMES, "a duration is a number of s, ms or us, as in 250ms").map(Duration::from_nanos)
    }

    fn show(&self) -> String {
        // 584 years and more are shown as that.
        show_scaled(u64::try_from(self.as_nanos()).unwrap_or(u64::MAX), TIMES)
    }

    fn is_below(&self, other: &Self) -> bool {
        self < other
    }
}

impl Value for u64 {
    fn read(text: &str) -> Result<Self, String> {
        scaled(text, &[("", 1)], "a count is a whole number")
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn is_below(&self, other: &Self) -> bool {
        self < other
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" => Ok(false),
            _ => Err("on or off".into()),
        }
    }

    fn show(&self) -> String {
        if *self { "on" } else { "off" }.into()
    }
}

/// No rung has a longer name.
const LONGEST_RUNG: usize = 64;

impl Value for Wish {
    fn read(text: &str) -> Result<Self, String> {
        // Its error quotes the text.
        if text.len() > LONGEST_RUNG {
            Err("a rung is snapshot[/delivery[/door]]".into())
        } else {
            text.parse()
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for HostFork {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "no-heap" => Ok(HostFork::NoHeap),
            "copy" => Ok(HostFork::Copy),
            _ => Err("no-heap or copy".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            HostFork::NoHeap => "no-heap",
            HostFork::Copy => "copy",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for bytes in [0, 1, 1000, 1024, 3 << 20, 5 << 30, 1 << 40, usize::MAX] {
            assert_eq!(Bytes::read(&Bytes(bytes).show()), Ok(Bytes(bytes)));
        }
        for nanos in [0, 1, 999, 1_000, 250_000_000, 10_000_000_000, u64::MAX] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(Duration::read(&duration.show()), Ok(duration));
        }
        assert_eq!([Bytes(3 << 20).show(), Bytes(1000).show(), Bytes(0).show()], ["3M", "1000", "0"]);
        assert_eq!([Duration::from_millis(1500).show(), Duration::from_secs(10).show()], ["1500ms", "10s"]);
        assert_eq!([true, false].map(|on| bool::read(&on.show())), [Ok(true), Ok(false)]);
        for policy in [HostFork::NoHeap, HostFork::Copy] {
            assert_eq!(HostFork::read(&policy.show()), Ok(policy));
        }
    }

    #[test]
    fn units_are_binary_and_take_either_case() {
        assert_eq!(Bytes::read("64k"), Ok(Bytes(65_536)));
        assert_eq!(Bytes::read("1G"), Ok(Bytes(1 << 30)));
        assert_eq!(Duration::read("5us"), Ok(Duration::from_micros(5)));
    }

    #[test]
    fn what_is_no_value_is_refused_and_never_wraps() {
        for text in ["", "M", "-1", "+1", "1.5G", "1 M", "1MM", "0x10", "1e9", "½", "１"] {
            assert!(Bytes::read(text).unwrap_err().contains("512M"), "{text:?}");
            assert!(u64::read(text).is_err(), "{text:?}");
        }
        for text in ["18446744073709551616", "16777216T", "99999999999999999999999999T"] {
            assert_eq!(Bytes::read(text), Err(too_large()), "{text}");
            assert_eq!(size_or_share_of_memory(text), Err(too_large()), "{text}");
        }
        assert_eq!(Duration::read("18446744074s"), Err(too_large()));
        assert!(Duration::read("10").is_err(), "a duration has a unit");
        assert!(
            bool::read("maybe").is_err() && HostFork::read("yes").is_err() && Wish::read("best").is_err()
        );
    }

    #[test]
    fn shares_are_of_the_memory_there_is() {
        let all = limits::physical_memory();
        assert_eq!(size_or_share_of_memory("100%"), Ok(all));
        assert_eq!(size_or_share_of_memory("50%"), Ok(Bytes(all.0 / 2)));
        assert_eq!(size_or_share_of_memory("2M"), Ok(Bytes::mib(2)));
        for text in ["%", "0%", "101%", "1.5%", "-1%", "99999999999999999999%", "5%%"] {
            assert!(size_or_share_of_memory(text).is_err(), "{text}");
        }
        assert!(size_or_share_of_memory("lots").unwrap_err().contains("25%"));
    }
}
