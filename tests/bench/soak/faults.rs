//! What goes wrong around a server: it is ended, suspended, and loses its disk, its cache and its compilers.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use lictor_bench::Res;
use lictor_tests::{policy, record};
use serde_json::{Value, json};

use crate::{
    chance::Chance,
    server::{self, Place, Server},
    supplies::loaded,
    world::{Desk, World},
};

/// What a data directory of its own has room for.
const DISK: &str = "size=1g";

/// Everything that is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, and a start.
    Kill,
    /// SIGTERM, and a start.
    Stop,
    /// SIGKILL, and a start with another monotonic clock.
    KillAndMoveClock,
    /// SIGKILL, changed and cut files in its cache, and a start.
    KillAndSpoilCache,
    /// A stop and a start, after which the database has no room of its own; SIGKILL when the disk has been full for some
    /// seconds, and a start when it is not.
    KillOnFullDisk,
    /// SIGSTOP, and SIGCONT after some seconds.
    Suspend,
    /// Children that compile are killed.
    KillCompilers,
    /// No room on the disk for some seconds.
    FullDisk,
    /// A cache that cannot be written for some seconds.
    ReadOnlyCache,
    /// A cache that is emptied while it is used.
    EmptyCache,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Kill,
        Self::Stop,
        Self::KillAndMoveClock,
        Self::KillAndSpoilCache,
        Self::KillOnFullDisk,
        Self::Suspend,
        Self::KillCompilers,
        Self::FullDisk,
        Self::ReadOnlyCache,
        Self::EmptyCache,
    ];

    fn ends_the_server(self) -> bool {
        use Fault::{Kill, KillAndMoveClock, KillAndSpoilCache, KillOnFullDisk, Stop};
        matches!(self, Kill | Stop | KillAndMoveClock | KillAndSpoilCache | KillOnFullDisk)
    }
}

/// What this machine lets us do, and in which order it is done.
pub(crate) struct Faults<'a> {
    place: &'a Place,
    /// The file that fills the disk; none if the data directory is on the machine's own.
    filler: Option<PathBuf>,
    clocks: bool,
    deck: Vec<Fault>,
    fresh: u64,
    pub(crate) left_out: Vec<&'static str>,
}

impl<'a> Faults<'a> {
    /// Before the first start: the data directory may get a disk of its own.
    pub(crate) fn new(place: &'a Place) -> Self {
        let own_disk = run("mount", &["-t", "tmpfs", "-o", DISK, "lictor-soak"], &place.data());
        let clocks = server::can_move_clocks();
        let mut left_out = vec!["jumps of the wall clock: they need a machine of its own"];
        if !own_disk {
            left_out.push("a full disk and a read-only cache: no file system can be mounted here, which takes root");
        }
        if !clocks {
            left_out.push("another monotonic clock: there are no time namespaces here");
        }
        let filler = own_disk.then(|| place.data().join(".filler"));
        Self { place, filler, clocks, deck: Vec::new(), fresh: 0, left_out }
    }

    /// Takes away what was mounted.
    pub(crate) fn clear(&self) {
        if self.filler.is_some() {
            run("umount", &["--lazy"], &self.place.data());
        }
    }

    fn possible(&self, fault: Fault) -> bool {
        match fault {
            Fault::FullDisk | Fault::KillOnFullDisk | Fault::ReadOnlyCache => self.filler.is_some(),
            Fault::KillAndMoveClock => self.clocks,
            _ => true,
        }
    }

    /// The next one: each comes once before any comes again.
    pub(crate) fn draw(&mut self, chance: &mut Chance, may_end: bool) -> Fault {
        let allowed = |fault: &Fault| may_end || !fault.ends_the_server();
        loop {
            if let Some(idx) = self.deck.iter().position(allowed) {
                return self.deck.remove(idx);
            }
            self.deck = Fault::ALL.into_iter().filter(|fault| self.possible(*fault)).collect();
            chance.shuffle(&mut self.deck);
        }
    }

    /// Does it; gives the server that is there afterwards.
    pub(crate) fn inject(&mut self, fault: Fault, server: Server, desk: &mut Desk<'_>) -> Res<Server> {
        let some_seconds = Duration::from_millis(1_000 + desk.chance.below(3_000) as u64);
        match fault {
            Fault::Kill => self.replace(desk.world, None, || server.kill()),
            Fault::Stop => self.replace(desk.world, None, || server.stop()),
            Fault::KillAndMoveClock => {
                let ahead = desk.chance.below(100_000_000);
                self.replace(desk.world, Some(ahead), || server.kill())
            }
            Fault::KillAndSpoilCache => {
                let cache = self.place.data().join("cache");
                let mut chance = desk.chance.clone();
                self.replace(desk.world, None, || server.kill().and_then(|()| spoil(&cache, &mut chance)))
            }
            Fault::KillOnFullDisk => {
                let server = self.replace(desk.world, None, || server.stop())?;
                desk.world.full.turn();
                self.fill()?;
                thread::sleep(some_seconds * 2);
                let replaced = self.replace(desk.world, None, || server.kill().and_then(|()| self.make_room()));
                desk.world.full.turn();
                replaced
            }
            Fault::Suspend => server.suspend(some_seconds).map(|()| server),
            Fault::KillCompilers => self.kill_compilers(&server, desk).map(|()| server),
            Fault::FullDisk => {
                desk.world.full.turn();
                self.fill()?;
                thread::sleep(some_seconds * 4);
                self.make_room()?;
                // What waited to be written is tried again ten times a second.
                thread::sleep(Duration::from_secs(1));
                desk.world.full.turn();
                Ok(server)
            }
            Fault::ReadOnlyCache => self.with_read_only_cache(desk).map(|()| server),
            Fault::EmptyCache => {
                let cached = self.place.data().join("cache");
                for path in files_in(&cached)? {
                    // It may be removing it as well.
                    let _gone_already = fs::remove_file(path);
                }
                self.load_fresh(desk).map(|()| server)
            }
        }
    }

    /// Has another server in the place of one that `end` ends.
    fn replace(&self, world: &World, ahead: Option<usize>, end: impl FnOnce() -> Res<()>) -> Res<Server> {
        world.ends.turn();
        end()?;
        let server = self.place.start(ahead)?;
        world.moves_to(&server);
        world.ends.turn();
        Ok(server)
    }

    /// Fills the disk to the last byte, again and again, as what is on it is being removed.
    fn fill(&self) -> Res<()> {
        let Some(path) = &self.filler else { return Ok(()) };
        let mut file = File::create(path)?;
        for size in [1 << 20, 4096, 1] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
        Ok(())
    }

    fn make_room(&self) -> Res<()> {
        match &self.filler {
            Some(path) => Ok(fs::remove_file(path)?),
            None => Ok(()),
        }
    }

    fn kill_compilers(&mut self, server: &Server, desk: &mut Desk<'_>) -> Res<()> {
        desk.world.compilers_die.turn();
        let uris = (0..3).map(|_| self.create_fresh(desk)).collect::<Res<Vec<_>>>()?;
        let mut killed = 0;
        for _ in 0..200 {
            killed += server.kill_compilers();
            thread::sleep(Duration::from_millis(2));
        }
        desk.world.compilers_die.turn();
        println!("  {killed} compilers killed");
        for uri in &uris {
            if loaded(desk, uri)?.is_some() {
                // Sent again, it is loaded again.
                let body = json!({"$set": {"metadata.again": true}});
                desk.ask("send a policy again", &format!("PUT /policy/{uri}"), &body, &[]);
            }
            self.must_be_ready(desk, uri)?;
        }
        Ok(())
    }

    fn with_read_only_cache(&mut self, desk: &mut Desk<'_>) -> Res<()> {
        let cache = self.place.data().join("cache");
        let path = cache.display().to_string();
        if !run("mount", &["--bind", &path], &cache) || !run("mount", &["-o", "remount,ro,bind"], &cache) {
            return Err("the cache cannot be made read-only".into());
        }
        let loaded = self.load_fresh(desk);
        // What was opened there stays open.
        match run("umount", &["--lazy"], &cache) {
            true => loaded,
            false => Err("the cache stays read-only".into()),
        }
    }

    /// Loads code that nobody has seen, which must be ready.
    fn load_fresh(&mut self, desk: &mut Desk<'_>) -> Res<()> {
        let uri = self.create_fresh(desk)?;
        self.must_be_ready(desk, &uri)
    }

    fn create_fresh(&mut self, desk: &mut Desk<'_>) -> Res<String> {
        self.fresh += 1;
        let name = format!("fresh{}", self.fresh);
        let code = self.place.put(&format!("{name}.wasm"), &policy(&format!("\"{name}\"")))?;
        desk.ask("create a policy", "POST /policy", &record(&name, &code), &[]);
        Ok(format!("{name}:1.0-test"))
    }

    /// Looks whether it is ready, and removes it.
    fn must_be_ready(&self, desk: &mut Desk<'_>, uri: &str) -> Res<()> {
        if let Some(code) = loaded(desk, uri)? {
            desk.world.violation(&format!("{uri} cannot be loaded: {code}"));
        }
        desk.ask("delete a policy", &format!("DELETE /policy/{uri}"), &Value::Null, &[]);
        Ok(())
    }
}

/// Changes a byte of some files, and cuts others.
fn spoil(folder: &Path, chance: &mut Chance) -> Res<()> {
    for path in files_in(folder)? {
        if path.ends_with("key") || chance.below(3) != 0 {
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let at = chance.below(bytes.len());
        match chance.below(3) {
            0 => bytes.truncate(at),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x40),
        }
        fs::write(&path, bytes)?;
    }
    Ok(())
}

fn files_in(folder: &Path) -> Res<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    files.sort();
    Ok(files)
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).arg(path).stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
