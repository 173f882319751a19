//! Log lines, bounded by the limit `log_kb`.
//!
//! [`error!`], [`warn!`], [`info!`], [`debug!`] and [`trace!`] take what `format!` takes and write straight to the
//! host, which decides what it keeps. They are not the macros of the `log` crate, because an installed logger would
//! make every policy import the host's logging; a policy whose dependencies log through that crate calls [`forward`].

use std::fmt;

pub use ::log::Level;

use crate::platform;

pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

/// Writes one line. `target` groups lines; the macros give the module's path.
pub fn write(level: Level, target: &str, message: fmt::Arguments<'_>) {
    platform::log(level, target, &message.to_string());
}

/// Sends what dependencies log through the `log` crate to the host as well. Calling it again changes nothing.
pub fn forward() {
    if ::log::set_logger(&Forward).is_ok() {
        ::log::set_max_level(::log::LevelFilter::Trace);
    }
}

struct Forward;

impl ::log::Log for Forward {
    fn enabled(&self, _: &::log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &::log::Record<'_>) {
        write(record.level(), record.target(), *record.args());
    }

    fn flush(&self) {}
}

/// Something failed that should not.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Error, module_path!(), format_args!($($message)+)) };
}

/// Something is not as it should be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, module_path!(), format_args!($($message)+)) };
}

/// Something an operator may want to know.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Info, module_path!(), format_args!($($message)+)) };
}

/// Something the author may want to know.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, module_path!(), format_args!($($message)+)) };
}

/// Each step.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Trace, module_path!(), format_args!($($message)+)) };
}
