//! Runs the cells of a suite as child processes of this program, several side by side.
//!
//! Rule: one cell, one process, one run folder; a cell that fails takes no other with it. Children end with their parent however
//! that ends. Stages that cells share are made once: whoever comes first claims one in the stage pool, the others wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cells::{Cell, Layout};
use super::error::SuiteError;
use scaleot_pipeline::progress::stop_requested;
use scaleot_store::exit_code::ExitCode;
use scaleot_store::{StagePool, StoreError, make_folder, write_file};

/// Between two looks at whether somebody asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The settings with which cells are run.
#[derive(Debug, Clone)]
pub struct Engine {
    /// This program.
    pub program: PathBuf,
    /// Arguments for every cell, such as where plugins lie.
    pub arguments: Vec<OsString>,
    /// Cells side by side.
    pub jobs: usize,
    /// Threads of one cell whose config takes all cores.
    pub threads: usize,
    pub layout: Layout,
}

/// An event of a running suite.
#[derive(Debug)]
pub enum Event<'a> {
    Begun {
        cell: &'a str,
    },
    /// A line of the cell's stderr.
    Said {
        cell: &'a str,
        line: String,
    },
    Ended {
        cell: &'a str,
        outcome: Outcome,
    },
}

/// The end of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// Its own words, and the exit status if it had one.
    Failed {
        reason: String,
        code: Option<i32>,
    },
    /// Asked to stop; the same command continues.
    Interrupted,
}

/// The state that the workers share.
struct Work<'a> {
    waiting: Mutex<VecDeque<&'a Cell>>,
    /// Process ids of cells that run; one that is gone is not in it.
    running: Mutex<BTreeMap<&'a str, u32>>,
}

impl Engine {
    /// Runs the cells in order; tells `hear` what happens. Cells that were not begun before a request to stop are left out.
    ///
    /// # Errors
    /// A cell's config or log that cannot be written.
    pub fn run<'a>(
        &self,
        cells: &'a [Cell],
        hear: &mut dyn FnMut(&Event<'a>),
    ) -> Result<BTreeMap<String, Outcome>, SuiteError> {
        self.prepare(cells)?;
        let work = Work { waiting: Mutex::new(cells.iter().collect()), running: Mutex::new(BTreeMap::new()) };
        let (tell, told) = channel();
        let outcomes = std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1).min(cells.len()) {
                let (tell, work) = (tell.clone(), &work);
                scope.spawn(move || self.work(work, &tell));
            }
            drop(tell);
            listen(&told, &work, hear)
        });
        Ok(outcomes)
    }

    /// Writes the configs of all cells, and clears a pool of its own of what a killed suite left.
    fn prepare(&self, cells: &[Cell]) -> Result<(), StoreError> {
        let pool = StagePool::open(&self.layout.pool)?;
        // The run folder's lock says that nobody else is at work here; of another folder nothing says so.
        if self.layout.pool.starts_with(&self.layout.root) {
            pool.prune()?;
        }
        for cell in cells {
            let path = self.layout.config(&cell.name);
            let text = cell.config.to_toml().unwrap_or_default();
            for path in [&path, &self.layout.log(&cell.name)] {
                make_folder(path.parent().unwrap_or(path))?;
            }
            write_file(&path, text.as_bytes())?;
        }
        Ok(())
    }

    fn work<'a>(&self, work: &Work<'a>, tell: &Sender<Event<'a>>) {
        loop {
            let next = lock(&work.waiting).pop_front().filter(|_| !stop_requested());
            let Some(cell) = next else { return };
            let outcome = self.cell(cell, work, tell);
            // The listener stays until the last worker is gone.
            let _ = tell.send(Event::Ended { cell: &cell.name, outcome });
        }
    }

    fn cell<'a>(&self, cell: &'a Cell, work: &Work<'a>, tell: &Sender<Event<'a>>) -> Outcome {
        let failed = |reason: String| Outcome::Failed { reason, code: None };
        let _ = tell.send(Event::Begun { cell: &cell.name });
        let mut child = match self.command(cell).spawn() {
            Ok(child) => child,
            Err(error) => return failed(format!("{}: {error}", self.program.display())),
        };
        lock(&work.running).insert(&cell.name, child.id());
        let said = self.pass_on(cell, &mut child, tell);
        // The lock is held during the wait, so that nobody signals a process id that is another's by now.
        let mut running = lock(&work.running);
        let status = child.wait();
        running.remove(cell.name.as_str());
        match status {
            Ok(status) => outcome(status, &said),
            Err(error) => failed(error.to_string()),
        }
    }

    fn command(&self, cell: &Cell) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("run").arg(self.layout.config(&cell.name));
        if cell.config.runtime.threads == 0 {
            command.arg(format!("runtime.threads={}", self.threads));
        }
        command.arg("--stage-pool").arg(&self.layout.pool).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let parent = std::process::id();
        // SAFETY: between fork and exec only two system calls are made, which allocate nothing.
        unsafe {
            command.pre_exec(move || {
                // What a killed suite leaves running would hold the run folder's lock against the next one.
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 || libc::getppid().unsigned_abs() != parent {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        command
    }

    /// Passes on what a cell says, and keeps it in its log.
    fn pass_on<'a>(&self, cell: &'a Cell, child: &mut Child, tell: &Sender<Event<'a>>) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                said.push(line.clone());
                let _ = tell.send(Event::Said { cell: &cell.name, line });
            }
        }
        // The log is for people; the table does not need it.
        let _ = write_file(&self.layout.log(&cell.name), (said.join("\n") + "\n").as_bytes());
        said
    }
}

/// Passes events on until the last worker is gone; asks cells to stop when somebody asked us.
fn listen<'a>(
    told: &Receiver<Event<'a>>,
    work: &Work<'a>,
    hear: &mut dyn FnMut(&Event<'a>),
) -> BTreeMap<String, Outcome> {
    let (mut outcomes, mut asked) = (BTreeMap::new(), BTreeSet::new());
    loop {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(event) => {
                hear(&event);
                if let Event::Ended { cell, outcome } = event {
                    outcomes.insert(cell.to_owned(), outcome);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return outcomes,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop_requested() {
            let running = lock(&work.running);
            for id in running.values().filter_map(|id| i32::try_from(*id).ok()).filter(|id| asked.insert(*id)) {
                // SAFETY: a signal to a child of ours that was not waited for yet, so that the id is its own.
                unsafe { libc::kill(id, libc::SIGTERM) };
            }
        }
    }
}

/// The outcome that an exit status and the last words tell.
fn outcome(status: ExitStatus, said: &[String]) -> Outcome {
    match status.code() {
        Some(0) => Outcome::Finished,
        Some(code) if code == i32::from(ExitCode::Interrupted as u8) => Outcome::Interrupted,
        // A request that came before the cell could hear it ends the cell at once.
        None if stop_requested() => Outcome::Interrupted,
        code => {
            let from = said.iter().rposition(|line| line.starts_with("error: "));
            let words = from.and_then(|from| said.get(from..)).unwrap_or_default();
            let words: Vec<&str> = words.iter().map(|line| line.trim_start_matches("error: ").trim()).collect();
            let reason = match (words.is_empty(), status.signal()) {
                (false, _) => words.join(" "),
                (true, Some(libc::SIGKILL)) => "killed from outside, perhaps for want of memory".to_owned(),
                (true, Some(signal)) => format!("ended by signal {signal}"),
                (true, None) => format!("ended with status {}", code.unwrap_or_default()),
            };
            Outcome::Failed { reason, code }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
