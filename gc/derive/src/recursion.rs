//! Types that contain themselves.
//!
//! The shape of a `Box<List>` is that of memory outside the object, whatever a `List` is, but to know whether it can be left
//! out altogether the compiler has to know the shape of `List`. In the definition of `List` itself that is a circle, which the
//! compiler reports as an error in a constant. So a type that mentions itself is given its shape without computing it.
//!
//! Behind a `Gc` there is no circle: a pointer has the same shape whatever it leads to.

use syn::visit::{self, Visit};
use syn::{Ident, PathSegment, Type};

/// Pointers, whose shape does not depend on what they lead to.
const ENDS: [&str; 3] = ["Gc", "GcWeak", "PhantomData"];

/// Whether the type of a field mentions the type that is being defined, but not behind a pointer.
pub(crate) fn mentions(field: &Type, name: &Ident) -> bool {
    let mut search = Search { name, found: false };
    search.visit_type(field);
    search.found
}

struct Search<'a> {
    name: &'a Ident,
    found: bool,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        self.found |= segment.ident == *self.name || segment.ident == "Self";
        if !ENDS.iter().any(|end| segment.ident == end) {
            visit::visit_path_segment(self, segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn a_circle_goes_through_boxes_and_not_through_pointers() {
        let name: Ident = parse_quote!(List);
        let circles: [Type; 4] = [
            parse_quote!(Option<Box<List<'gc>>>),
            parse_quote!(Vec<(u8, self::List<'gc>)>),
            parse_quote!(Box<Self>),
            parse_quote!(std::collections::HashMap<String, [Box<List>; 2]>),
        ];
        assert!(circles.iter().all(|field| mentions(field, &name)));
        let lines: [Type; 4] = [
            parse_quote!(Option<Gc<'gc, List<'gc>>>),
            parse_quote!(RefCell<Vec<palimpsest_safe::Gc<'gc, RefCell<List<'gc>>>>>),
            parse_quote!(GcWeak<'gc, Self>),
            parse_quote!(Box<ListOfOthers>),
        ];
        assert!(!lines.iter().any(|field| mentions(field, &name)));
    }
}
