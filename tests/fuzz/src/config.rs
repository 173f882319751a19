//! Files of the configuration.

use std::fs;

use lictor::config::{Config, Flags};
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder");
}

/// A file. It is a configuration or it is said why not.
pub(crate) fn config(data: &[u8]) {
    FOLDER.with(|folder| {
        let file = folder.path().join("lictor.toml");
        fs::write(&file, data).expect("a file that can be written");
        let flags = Flags { data_dir: Some(folder.path().to_owned()), ..Flags::default() };
        match Config::read(Some(file), &flags) {
            Ok(config) => assert!(0 < config.max_body && 0 < config.max_instances && !config.heartbeat.is_zero()),
            Err(why) => assert!(!why.is_empty()),
        }
    });
}
