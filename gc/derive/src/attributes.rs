//! What is written in `#[trace(...)]`.

use syn::{Attribute, Error, Field, Result};

/// Of a type.
#[derive(Default)]
pub(crate) struct OfType {
    /// It holds no references.
    pub(crate) leaf: bool,
    /// Its shape is not computed.
    pub(crate) native: bool,
}

impl OfType {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        each(attributes, |name| match name {
            "leaf" => Ok(read.leaf = true),
            "native" => Ok(read.native = true),
            _ => Err("a type's `trace` attribute is `leaf` or `native`"),
        })?;
        Ok(read)
    }
}

/// Whether a field is skipped.
pub(crate) fn is_skipped(field: &Field) -> Result<bool> {
    let mut skipped = false;
    each(&field.attrs, |name| match name {
        "skip" => Ok(skipped = true),
        _ => Err("a field's `trace` attribute is `skip`"),
    })?;
    Ok(skipped)
}

/// A variant has none: its fields have.
pub(crate) fn refuse(attributes: &[Attribute]) -> Result<()> {
    each(attributes, |_| Err("a variant has no `trace` attribute; its fields may have"))
}

fn each(
    attributes: &[Attribute],
    mut take: impl FnMut(&str) -> std::result::Result<(), &'static str>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("trace")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            take(&name).map_err(|why| Error::new_spanned(&meta.path, why))
        })?;
    }
    Ok(())
}
