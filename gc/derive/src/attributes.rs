//! What is written in `#[trace(...)]`.

use syn::{Attribute, Error, Field, Ident, Result};

/// Of a type.
pub(crate) struct OfType {
    /// It holds no references.
    pub(crate) leaf: bool,
    /// Its shape is not computed.
    pub(crate) native: bool,
}

impl OfType {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let names =
            names(attributes, &["leaf", "native"], "a type's `trace` attribute is `leaf` or `native`")?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        Ok(Self { leaf: has("leaf"), native: has("native") })
    }
}

/// Whether a field is skipped.
pub(crate) fn is_skipped(field: &Field) -> Result<bool> {
    Ok(!names(&field.attrs, &["skip"], "a field's `trace` attribute is `skip`")?.is_empty())
}

/// A variant has none: its fields have.
pub(crate) fn refuse(attributes: &[Attribute]) -> Result<()> {
    names(attributes, &[], "a variant has no `trace` attribute; its fields may have").map(drop)
}

/// The names that are written, which have to be among those `known`.
fn names(attributes: &[Attribute], known: &[&str], otherwise: &str) -> Result<Vec<Ident>> {
    let mut names = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("trace")) {
        attribute.parse_nested_meta(|meta| match meta.path.get_ident() {
            Some(name) if known.iter().any(|known| name == known) => {
                names.push(name.clone());
                Ok(())
            }
            _ => Err(Error::new_spanned(&meta.path, otherwise)),
        })?;
    }
    Ok(names)
}
