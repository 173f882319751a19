//! The requests of the document, pasted, and the table that comes of it.
