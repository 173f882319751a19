//! The registry of executors, health, and calls that another executor answers.
