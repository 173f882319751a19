//! The description of the API, and that the API keeps to it.
