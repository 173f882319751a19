//! Bad input on every route, by table.
