//! A disk that takes no more.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use lictor_tests::{Client, binary, file_url, policy, record};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::json;

/// A server whose files may not grow past a bound. The bound is the kernel's, so the server sees what it sees on a disk
/// that is full: writes that fail.
pub(crate) struct Cramped {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    pub(crate) client: Client,
    admin: Client,
}

impl Cramped {
    /// In 512 bytes.
    fn start(blocks: u32, data: &Path, files: &Path) -> Self {
        Self::start_with(blocks, data, files, &[])
    }

    /// The same, with this in its environment.
    pub(crate) fn start_with(blocks: u32, data: &Path, files: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        // Without the trap the first such write would end the process, which a full disk does not.
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"")).arg(binary());
        let flags: [OsString; 9] = [
            "serve".into(),
            "--data-dir".into(),
            data.into(),
            "--allow-file".into(),
            files.into(),
            "--listen".into(),
            "127.0.0.1:0".into(),
            "--admin".into(),
            "127.0.0.1:0".into(),
        ];
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LICTOR_")) {
            command.env_remove(name);
        }
        command.envs(env.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = |what: &str| -> SocketAddr {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line.trim().strip_prefix(&format!("{what} on http://")).expect("it serves").parse().unwrap()
        };
        let (client, admin) = (Client::new(said("listening")), Client::new(said("admin")));
        Self { child, _stdout: stdout, client, admin }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Lets files grow again.
    pub(crate) fn make_room(&self) {
        let unlimited = Rlimit { current: None, maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, unlimited).unwrap();
    }

    /// What is counted under this name.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let all = self.admin.get("/metrics").text();
        all.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).expect("it is counted")
    }

    pub(crate) fn stop(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

// attack 57
#[test]
fn on_a_full_disk_what_is_there_is_served_and_what_is_acknowledged_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let (data, files) = (home.path().join("data"), home.path().join("files"));
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("p.wasm"), policy("7")).unwrap();
    let code = file_url(&files.join("p.wasm"));
    // 3 MiB: enough for code, too little for what follows.
    let server = Cramped::start(6144, &data, &files);
    let client = &server.client;
    let uri = client.load(&record("there", &code));
    assert_eq!(client.execute(&uri, &json!(1)).data(), 7);

    let (mut kept, mut refused) = (Vec::new(), 0);
    for n in 0..60 {
        let mut heavy = record(&format!("heavy{n}"), &code);
        heavy["description"] = json!("x".repeat(200_000));
        let reply = client.post("/policy", &heavy);
        if reply.json()["success"] == true {
            kept.push(format!("heavy{n}:1.0-test"));
        } else {
            assert_eq!((reply.status, reply.refusal().1.as_str()), (500, "internal"), "{}", reply.text());
            refused += 1;
        }
        // Somebody else is served meanwhile.
        assert_eq!(client.execute(&uri, &json!(n)).data(), 7);
    }
    assert!(0 < refused && !kept.is_empty(), "{refused} refused, {} kept", kept.len());
    assert_eq!(client.policy(&uri)["load"], json!({"state": "ready"}));
    server.stop();

    // With room again, everything that was acknowledged is there, and it takes more.
    let server = Cramped::start(1 << 20, &data, &files);
    for uri in kept.iter().chain([&uri]) {
        server.client.policy(uri);
        assert_eq!(server.client.execute(uri, &json!(1)).data(), 7, "{uri}");
    }
    server.client.load(&record("after", &code));
    server.stop();
}
