//! The assets registry, `push` and `pull`.
