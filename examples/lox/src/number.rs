//! How numbers are printed: the fewest digits that read back as the same number, without a fraction when there is
//! none. `3`, `0.1`, `-0`, `123456789012`.
//!
//! (C's `%g`, which the book's bytecode interpreter uses, would print the last one as `1.23457e+11`.) Below 1e-6 and
//! from 1e21 on an exponent takes over, as in JavaScript, so that nothing prints three hundred zeros.

use std::io::Write as _;

/// Appends `number` to `out` as Lox prints it.
pub fn write_number(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    let written = if number.is_nan() {
        write!(out, "nan")
    } else if number.is_infinite() || size == 0.0 || (1e-6..1e21).contains(&size) {
        write!(out, "{number}")
    } else {
        let digits = format!("{number:e}");
        match digits.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => write!(out, "{mantissa}e+{exponent}"),
            _ => write!(out, "{digits}"),
        }
    };
    written.expect("writing to a vector does not fail");
}

#[cfg(test)]
mod tests {
    fn printed(number: f64) -> String {
        let mut out = Vec::new();
        super::write_number(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(printed(2.0), "2");
        assert_eq!(printed(-0.0), "-0");
        assert_eq!(printed(123456789012.0), "123456789012");
        assert_eq!(printed(1e20), "100000000000000000000");
    }

    #[test]
    fn fractions_are_as_short_as_they_can_be() {
        assert_eq!(printed(3.5), "3.5");
        assert_eq!(printed(0.1), "0.1");
        assert_eq!(printed(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(printed(1e-6), "0.000001");
    }

    #[test]
    fn the_very_large_and_the_very_small_have_an_exponent() {
        assert_eq!(printed(1e21), "1e+21");
        assert_eq!(printed(1.5e-7), "1.5e-7");
        assert_eq!(printed(-2.5e300), "-2.5e+300");
    }

    #[test]
    fn what_is_not_finite_has_a_name() {
        assert_eq!(printed(f64::NAN), "nan");
        assert_eq!(printed(-f64::NAN), "nan");
        assert_eq!(printed(f64::INFINITY), "inf");
        assert_eq!(printed(f64::NEG_INFINITY), "-inf");
    }
}
