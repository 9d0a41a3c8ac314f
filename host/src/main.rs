//! The program.
use host::config::RunConfig;
use host::pipeline::{self, progress::Progress, run::Run};
use plugin_scaleot as _;
struct Lines;
impl Progress for Lines {
    fn begin(&mut self, what: &str, total: u64) {
        eprintln!("begin {what} {total}");
    }
    fn at(&mut self, done: u64, note: &str) {
        if done % 20 == 0 {
            eprintln!("{done} {note}");
        }
    }
    fn end(&mut self, note: &str) {
        eprintln!("end {note}");
    }
    fn log(&mut self, m: &str) {
        eprintln!("{m}");
    }
}
fn main() -> anyhow::Result<()> {
    host::tensor::load_cuda_backend()?;
    let args: Vec<String> = std::env::args().collect();
    let config = RunConfig::load(std::path::Path::new(&args[1]), &args[2..])?;
    let mut run = Run::open(config, &[])?;
    let report = pipeline::run_all(&mut run, &mut Lines)?;
    println!("{}", pipeline::report::terminal(&report));
    Ok(())
}
