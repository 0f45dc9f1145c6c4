//! What was made for a region: code for each of its launches, numbers for the sizes of the last run,
//! and recordings of runs that came again.
//!
//! A step of a stream with the same sizes and the same memory as one before – states take turns
//! between two places – asks for the same launches, word by word: the second time they are recorded,
//! which a GPU keeps as a graph, and from then on all of them are asked for at once. Steps over what grows have other
//! sizes each time, but mostly the same launches with other numbers: of those that come one after another the third is
//! recorded, and the next ones change in it what differs.

#![expect(unsafe_code, reason = "the host says where buffers lie")]

use std::sync::{Arc, Mutex};

use girih_graph::ExtentError;
use girih_plan::plan::BufferId;
use girih_plan::region::Region as PlanRegion;
use girih_plugin::Error;

use crate::device::{Memory, Settings, lock, told};
use crate::driver::product::Shape;
use crate::driver::{Call, Driver, DriverError, Module, Recorded};
use crate::run::{Bound, Places, RunError};
use crate::source::Program;

/// Runs of a region that are remembered.
const KEPT: usize = 4;

/// A region with its code.
pub struct Region {
    parts: Vec<Part>,
    buffers: usize,
    symbols: usize,
    runs: Mutex<Runs>,
}

/// What is remembered of runs.
#[derive(Default)]
struct Runs {
    /// The last ones, the newest last.
    known: Vec<Known>,
    /// Those that came for the first time.
    growing: Growing,
}

/// A launch of a region.
struct Part {
    code: Arc<Code>,
    /// Of the region, in the order of the launch's.
    buffers: Vec<BufferId>,
    /// Of the region, in the order of the launch's.
    symbols: Vec<usize>,
    /// Launches of kernels before it, as failures count them.
    first: i64,
}

/// A launch with its code.
pub(crate) struct Code {
    program: Program,
    symbols: Vec<Arc<str>>,
    module: Arc<dyn Module>,
    /// For the sizes of the last run.
    last: Mutex<Option<Arc<Sized>>>,
}

/// What is made for a set of sizes.
struct Sized {
    symbols: Vec<i64>,
    bound: Bound,
    /// Memory of the launch's own, if it needs some. Runs of one device follow one another, so that they can share it.
    scratch: Option<Memory>,
}

/// A run that may come again.
struct Known {
    /// Its symbols, and where everything lay.
    key: Vec<u64>,
    /// If it did come again.
    recording: Option<Recording>,
}

/// Launches that are asked for together.
struct Recording {
    recorded: Box<dyn Recorded>,
    /// Has their memory.
    sized: Vec<Arc<Sized>>,
}

/// Runs that came for the first time, one after another, and ask for the same code.
#[derive(Default)]
struct Growing {
    /// Of the newest.
    calls: Vec<Call>,
    /// How many.
    count: usize,
    recording: Option<Recording>,
    /// Its launches cannot be changed.
    fixed: bool,
}

/// Runs after which the next one is recorded: states that take turns are two.
const IN_A_ROW: usize = 2;

impl Region {
    /// A region whose launches get their code from `code`.
    ///
    /// # Errors
    ///
    /// What `code` says; a region that no text should be.
    pub(crate) fn new(
        region: &PlanRegion,
        code: &mut dyn FnMut(&PlanRegion) -> Result<Arc<Code>, Error>,
    ) -> Result<Self, Error> {
        let lacking = || Error::internal("a launch is no region of its own");
        let mut parts = Vec::new();
        let mut first = 0;
        for at in 0..region.section.launches.len() {
            let (part, buffers) = region.part(at..at + 1).ok_or_else(lacking)?;
            let code = code(&part)?;
            let symbols = part.symbols.iter();
            let symbols = symbols.map(|symbol| region.symbols.iter().position(|own| own == symbol));
            let symbols: Option<Vec<usize>> = symbols.collect();
            let counted = code.program.counted;
            parts.push(Part {
                code,
                buffers,
                symbols: symbols.ok_or_else(lacking)?,
                first,
            });
            first += counted;
        }
        Ok(Self {
            parts,
            buffers: region.section.buffers.len(),
            symbols: region.symbols.len(),
            runs: Mutex::default(),
        })
    }

    /// Asks for all launches, with values of the symbols, addresses of the buffers, and one for failures.
    ///
    /// # Errors
    ///
    /// Other symbols or buffers than it has, sizes that cannot be, a device that fails.
    ///
    /// # Safety
    ///
    /// The memory is of this driver, as long as the buffers are under these symbols, and nothing else uses it until the
    /// device is done.
    pub(crate) unsafe fn run(
        &self,
        driver: &Arc<dyn Driver>,
        (symbols, buffers, failure): (&[i64], &[u64], u64),
        settings: Settings,
    ) -> Result<(), Error> {
        if buffers.len() != self.buffers || symbols.len() != self.symbols {
            return Err(Error::invalid(
                "a region is run with other buffers or symbols than it has",
            ));
        }
        let calls = || self.calls(driver, (symbols, buffers, failure), settings);
        if !settings.records || self.parts.len() < 2 {
            let (calls, _sized) = calls()?;
            // SAFETY: as the caller vouches; scratch is freed in the order in which things happen.
            return unsafe { launch(&**driver, &calls) };
        }
        let numbers = symbols.iter().map(|symbol| symbol.cast_unsigned());
        let key = numbers.chain(buffers.iter().copied()).chain([failure]);
        let key: Vec<u64> = key.collect();
        let mut runs = lock(&self.runs);
        let Some(at) = runs.known.iter().position(|own| own.key == key) else {
            let (calls, sized) = calls()?;
            // SAFETY: as above.
            unsafe { runs.growing.run(&**driver, calls, sized) }?;
            if runs.known.len() >= KEPT {
                runs.known.remove(0);
            }
            runs.known.push(Known {
                key,
                recording: None,
            });
            return Ok(());
        };
        runs.growing.count = 0;
        let mut own = runs.known.remove(at);
        let recording = match &mut own.recording {
            Some(recording) => recording,
            place @ None => {
                let (calls, sized) = calls()?;
                // SAFETY: it is replayed where the caller vouches for the same addresses; scratch lives as long.
                let recorded = unsafe { driver.record(&calls) };
                place.insert(Recording {
                    recorded: recorded.map_err(told)?,
                    sized,
                })
            }
        };
        // SAFETY: as the caller vouches.
        unsafe { recording.recorded.replay() }.map_err(told)?;
        runs.known.push(own);
        Ok(())
    }

    /// All launches, with what they run on.
    fn calls(
        &self,
        driver: &Arc<dyn Driver>,
        (symbols, buffers, failure): (&[i64], &[u64], u64),
        settings: Settings,
    ) -> Result<(Vec<Call>, Vec<Arc<Sized>>), Error> {
        let (mut calls, mut all) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let own: Vec<i64> = part.symbols.iter().map(|at| symbols[*at]).collect();
            let sized = part.code.sized(driver, &own, settings)?;
            let own: Vec<u64> = part.buffers.iter().map(|id| buffers[id.index()]).collect();
            let places = Places {
                buffers: &own,
                scratch: sized.scratch.as_ref().map_or(0, |own| own.address),
                failure,
                first: part.first,
            };
            calls.extend(sized.bound.calls(&part.code.module, places));
            all.push(sized);
        }
        Ok((calls, all))
    }
}

impl Growing {
    /// Asks for all launches of a run.
    ///
    /// # Errors
    ///
    /// A device that fails.
    ///
    /// # Safety
    ///
    /// As for [`Driver::launch`].
    unsafe fn run(
        &mut self,
        driver: &dyn Driver,
        calls: Vec<Call>,
        sized: Vec<Arc<Sized>>,
    ) -> Result<(), Error> {
        if !same_code(&self.calls, &calls) {
            *self = Self::default();
        }
        let before = std::mem::replace(&mut self.calls, calls);
        self.count += 1;
        if let Some(recording) = &mut self.recording {
            // SAFETY: as the caller vouches.
            if unsafe { changed(&*recording.recorded, &before, &self.calls) }.is_ok() {
                // What the last run used is freed in the order in which things happen.
                recording.sized = sized;
                // SAFETY: as above.
                return unsafe { recording.recorded.replay() }.map_err(told);
            }
            self.recording = None;
            self.fixed = true;
        } else if self.count > IN_A_ROW && !self.fixed {
            // SAFETY: it is replayed with what later callers vouch for; scratch lives as long.
            let recorded = unsafe { driver.record(&self.calls) }.map_err(told)?;
            let recording = self.recording.insert(Recording { recorded, sized });
            // SAFETY: as above.
            return unsafe { recording.recorded.replay() }.map_err(told);
        }
        // SAFETY: as above.
        unsafe { launch(driver, &self.calls) }
    }
}

/// Whether calls differ in grids and arguments alone.
fn same_code(these: &[Call], others: &[Call]) -> bool {
    let same = |pair: (&Call, &Call)| match pair {
        (Call::Grid(own), Call::Grid(other)) => own.is_of_code(other),
        (Call::Product(own), Call::Product(other)) => own == other,
        (Call::Grid(_), Call::Product(_)) | (Call::Product(_), Call::Grid(_)) => false,
    };
    these.len() == others.len() && these.iter().zip(others).all(same)
}

/// Has a recording of some calls be one of others, of the same code.
///
/// # Safety
///
/// As for [`Recorded::change`].
unsafe fn changed(
    recorded: &dyn Recorded,
    before: &[Call],
    after: &[Call],
) -> Result<(), DriverError> {
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        if let (Call::Grid(before), Call::Grid(after)) = (before, after)
            && (before.grid != after.grid || before.arguments != after.arguments)
        {
            // SAFETY: as the caller vouches.
            unsafe { recorded.change(at, after) }?;
        }
    }
    Ok(())
}

/// # Safety
///
/// As for [`Driver::launch`].
unsafe fn launch(driver: &dyn Driver, calls: &[Call]) -> Result<(), Error> {
    for call in calls {
        // SAFETY: as the caller vouches.
        unsafe { driver.launch(call) }.map_err(told)?;
    }
    Ok(())
}

impl Code {
    pub(crate) fn new(program: Program, symbols: Vec<Arc<str>>, module: Arc<dyn Module>) -> Self {
        Self {
            program,
            symbols,
            module,
            last: Mutex::default(),
        }
    }

    fn sized(
        &self,
        driver: &Arc<dyn Driver>,
        symbols: &[i64],
        settings: Settings,
    ) -> Result<Arc<Sized>, Error> {
        let mut last = lock(&self.last);
        if let Some(known) = &*last
            && known.symbols == symbols
        {
            return Ok(Arc::clone(known));
        }
        let lookup = |name: &str| {
            let at = self.symbols.iter().position(|own| &**own == name)?;
            Some(symbols[at])
        };
        let multiplies = |shape: &Shape| settings.products.have(shape) && driver.multiplies(shape);
        let bound = Bound::new(&self.program, &lookup, &multiplies);
        let bound = bound.map_err(|error: ExtentError| told(RunError::Size(error)))?;
        let scratch = match bound.scratch() {
            0 => None,
            bytes => Some(Memory::new(driver, bytes).map_err(told)?),
        };
        let sized = Arc::new(Sized {
            symbols: symbols.to_vec(),
            bound,
            scratch,
        });
        *last = Some(Arc::clone(&sized));
        Ok(sized)
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let programs: Vec<&Program> = self.parts.iter().map(|own| &own.code.program).collect();
        f.debug_struct("Region")
            .field("programs", &programs)
            .finish_non_exhaustive()
    }
}
