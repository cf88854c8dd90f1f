//! One Lox value in one 64-bit word: a NaN box.
//!
//! A double has 2^53 bit patterns that mean "not a number", and arithmetic only ever produces one or two of them.
//! The others are free to carry everything that is not a number:
//!
//! ```text
//! any double          number (also the NaN that the processor makes)
//! 0x7ffc_0000_0000_00tt   nil, false, true, or the mark of a global that is not defined yet
//! 0xfffc_aaaa_aaaa_aaaa   a reference: the 48-bit address of the start of a heap object
//! ```
//!
//! The reference pattern is what the collector's view of the heap hangs on ([`Value::address`] is all that the
//! embedder's `decode` does), so everything else that is ever stored in a traced word must lack those fourteen bits.
//! Small integers (object headers, lengths) and native pointers (saved instruction pointers) do: their high bits
//! are zero. Fresh memory is all zero, which reads as the number 0.

use palimpsest::Address;

/// Quiet-NaN bits plus one more, so that the NaN which arithmetic produces stays a number.
const BOX: u64 = 0x7ffc_0000_0000_0000;
const SIGN: u64 = 0x8000_0000_0000_0000;
const REFERENCE: u64 = SIGN | BOX;
const ADDRESS_BITS: u64 = 0x0000_ffff_ffff_ffff;

/// A NaN-boxed Lox value.
///
/// Equality of `Value` is equality of the word: identity for objects (strings are interned, so also equality of
/// strings). Lox's `==` is [`Value::lox_equals`], which differs for numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Value(u64);

impl Value {
    /// `nil`.
    pub const NIL: Value = Value(BOX | 1);
    /// `false`.
    pub const FALSE: Value = Value(BOX | 2);
    /// `true`.
    pub const TRUE: Value = Value(BOX | 3);
    /// What the slot of a global holds before its `var` has run. Never visible to a program.
    pub const UNDEFINED: Value = Value(BOX | 4);

    /// The value with this bit pattern.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Value {
        Value(bits)
    }

    /// The bit pattern.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A number. Arithmetic cannot produce a NaN that looks boxed; anything else goes through this unchecked too.
    #[inline(always)]
    pub fn number(number: f64) -> Value {
        debug_assert!(number.to_bits() & BOX != BOX, "a NaN with a payload cannot be boxed");
        Value(number.to_bits())
    }

    /// A Boolean.
    #[inline(always)]
    pub const fn bool(truth: bool) -> Value {
        if truth { Value::TRUE } else { Value::FALSE }
    }

    /// A reference to the heap object that starts at `address`.
    #[inline(always)]
    pub fn reference(address: Address) -> Value {
        Value(REFERENCE | address.as_usize() as u64)
    }

    /// The number, if this is one.
    #[inline(always)]
    pub fn as_number(self) -> Option<f64> {
        self.is_number().then(|| f64::from_bits(self.0))
    }

    /// Whether this is a number.
    #[inline(always)]
    pub const fn is_number(self) -> bool {
        self.0 & BOX != BOX
    }

    /// The object referred to, if this is a reference.
    #[inline(always)]
    pub fn address(self) -> Option<Address> {
        if self.0 & REFERENCE == REFERENCE {
            let address = (self.0 & ADDRESS_BITS) as usize;
            (address != 0).then(|| Address::new(address))
        } else {
            None
        }
    }

    /// Whether this is a reference.
    #[inline(always)]
    pub const fn is_reference(self) -> bool {
        self.0 & REFERENCE == REFERENCE
    }

    /// `nil` and `false` are false, everything else is true.
    #[inline(always)]
    pub const fn is_falsey(self) -> bool {
        self.0 == Value::NIL.0 || self.0 == Value::FALSE.0
    }

    /// Lox's `==`: numbers compare as numbers (so NaN differs from itself and 0 equals -0), all else by identity.
    #[inline(always)]
    pub fn lox_equals(self, other: Value) -> bool {
        if self.is_number() && other.is_number() {
            f64::from_bits(self.0) == f64::from_bits(other.0)
        } else {
            self.0 == other.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_boxing() {
        for number in [0.0, -0.0, 1.5, -1e308, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Value::number(number);
            assert_eq!(value.as_number().map(f64::to_bits), Some(number.to_bits()));
            assert_eq!(value.address(), None);
        }
    }

    #[test]
    fn the_nan_of_the_processor_is_a_number_of_either_sign() {
        for nan in [0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000] {
            let value = Value::from_bits(nan);
            assert!(value.is_number() && !value.is_reference());
            assert!(!value.lox_equals(value));
        }
    }

    #[test]
    fn a_reference_decodes_to_its_address_and_is_nothing_else() {
        for address in [16, 0x7fff_ffff_fff0] {
            let value = Value::reference(Address::new(address));
            assert_eq!(value.address(), Some(Address::new(address)));
            assert!(!value.is_number() && !value.is_falsey());
        }
    }

    #[test]
    fn what_is_not_a_reference_decodes_to_none() {
        for value in [Value::NIL, Value::TRUE, Value::FALSE, Value::UNDEFINED] {
            assert_eq!(value.address(), None);
            assert!(!value.is_number());
        }
        for raw in [0, 7, u64::MAX >> 16, 0x7fff_ffff_fff8] {
            assert_eq!(Value::from_bits(raw).address(), None);
        }
        assert_eq!(Value::from_bits(REFERENCE).address(), None, "no object starts at address 0");
    }

    #[test]
    fn equality_follows_lox() {
        assert!(Value::number(0.0).lox_equals(Value::number(-0.0)));
        assert!(!Value::number(0.0).lox_equals(Value::FALSE));
        assert!(Value::NIL.lox_equals(Value::NIL));
        assert!(Value::NIL.is_falsey() && Value::FALSE.is_falsey() && !Value::number(0.0).is_falsey());
    }
}
