//! The fields of an object, and which of them must be there.

use super::Node;

/// The fields of an object, by name.
#[derive(Debug, Default)]
pub(in crate::schema) struct Fields {
    sorted: Vec<Field>,
    /// How many are required.
    pub(in crate::schema) n_required: usize,
}

#[derive(Debug)]
pub(in crate::schema) struct Field {
    pub(in crate::schema) name: Box<str>,
    pub(in crate::schema) node: Node,
    /// Its position among the required ones.
    pub(in crate::schema) required: Option<usize>,
}

impl Fields {
    /// These fields; where `required` is anything, its position is found here.
    pub(super) fn of(mut sorted: Vec<Field>) -> Self {
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        let positions = sorted.iter_mut().filter_map(|field| field.required.as_mut());
        let n_required = positions.enumerate().map(|(idx, position)| *position = idx).count();
        Self { sorted, n_required }
    }

    /// The field of this name, if it is specified.
    pub(in crate::schema) fn get(&self, name: &str) -> Option<&Field> {
        let idx = self.sorted.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        self.sorted.get(idx)
    }

    /// Those that are required, in the order of their positions.
    pub(in crate::schema) fn required(&self) -> impl Iterator<Item = &Field> {
        self.sorted.iter().filter(|field| field.required.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}
